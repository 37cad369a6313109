"""What is really sent is what the document says, down to the last field."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from dynamo_cli.protocol.instance import ModelIdentity
from tests.frontend.described import problems
from tests.frontend.toy import MODEL, Deployment, asyncio_deadline, echo, echo_text

HELLO = [{"role": "user", "content": "hello ☂"}]
VARIANTS: list[dict[str, Any]] = [
    {},
    {"n": 2},
    {"stop": "ll"},
    {"nvext": {"extra_fields": ["worker_id", "timing"], "annotations": ["token_ids", "formatted_prompt"]}},
    {"stream_options": {"include_usage": True}},
    {"stream_options": {"include_usage": True, "continuous_usage_stats": True}, "n": 2},
]
LOGPROBS = {"chat/completions": {"logprobs": True, "top_logprobs": 2}, "completions": {"logprobs": 2, "echo": True}}
ASKED = {"chat/completions": {"messages": HELLO}, "completions": {"prompt": ["one", "two"]}}
NAMES = {"chat/completions": "ChatCompletion", "completions": "TextCompletion"}


@pytest.fixture
async def telling(bare: Deployment) -> httpx.AsyncClient:
    """A client of one worker that knows logprobs."""
    await bare.start()
    await bare.add_worker(echo, logprobs=True, service="decode-0")
    await bare.ready()
    return httpx.AsyncClient(base_url=bare.url, trust_env=False)


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("told", [False, True])
async def test_generated_text(telling: httpx.AsyncClient, path: str, told: bool) -> None:
    async with telling as http:
        for variant in VARIANTS:
            asked = {"model": MODEL, "max_tokens": 9, **ASKED[path], **(LOGPROBS[path] if told else {}), **variant}
            if "stream_options" not in variant:
                whole = await http.post(f"/v1/{path}", json=asked)
                assert whole.status_code == 200
                assert not problems(NAMES[path], whole.json()), variant
            events = (await http.post(f"/v1/{path}", json={**asked, "stream": True})).text.split("\n\n")
            data = [event.removeprefix("data: ") for event in events if event.startswith("data: ")]
            assert data.pop() == "[DONE]" and data
            for event in data:
                assert not problems(f"{NAMES[path]}Chunk", json.loads(event)), (variant, event)


@pytest.mark.parametrize("path", ASKED)
async def test_an_error_in_a_stream(bare: Deployment, path: str) -> None:
    async def failing(request: Any, context: Any) -> Any:
        async for delta in echo(request, context):
            yield delta
            raise RuntimeError("out of order")

    await bare.start()
    await bare.add_worker(failing)
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        asked = {"model": MODEL, "stream": True, "max_tokens": 5, **ASKED[path]}
        events = (await http.post(f"/v1/{path}", json=asked)).text.split("\n\n")
        last = [event.removeprefix("data: ") for event in events if event.startswith("data: {")][-1]
        assert not problems("Error", json.loads(last))


async def test_everything_else(http: httpx.AsyncClient) -> None:
    found = {
        "ModelList": await http.get("/v1/models"),
        "Model": await http.get(f"/v1/models/{MODEL}"),
        "ModelReadiness": await http.get(f"/v1/models/{MODEL}/ready"),
        "TokenizeAnswer": await http.post("/tokenize", json={"prompt": "a☂", "return_token_strs": True}),
        "DetokenizeAnswer": await http.post("/detokenize", json={"tokens": [1, 2]}),
        "Health": await http.get("/health"),
        "Live": await http.get("/live"),
    }
    for name, answer in found.items():
        assert answer.status_code == 200
        assert not problems(name, answer.json()), name
    assert not problems("TokenizeAnswer", (await http.post("/tokenize", json={"messages": HELLO})).json())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/models/none", 404),
        ("GET", "/v1/models/none/ready", 404),
        ("DELETE", "/health", 405),
        ("POST", "/tokenize", 400),
        ("POST", "/v1/chat/completions", 400),
        ("GET", f"/{'x' * 9000}", 414),
    ],
)
async def test_errors(http: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert not problems("Error", answer.json())
    assert answer.headers["x-request-id"]


async def test_a_model_whose_workers_are_gone_is_not_ready(bare: Deployment) -> None:
    await bare.start()
    served = await bare.add_worker(echo_text, name="words", identity=ModelIdentity(input="text"))
    await bare.ready(name="words")
    await served.unregister()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        async with asyncio_deadline(10):
            while (answer := await http.get("/v1/models/words/ready")).status_code == 200:
                pass
        assert answer.status_code == 503
        assert not problems("ModelReadiness", answer.json())
        health = await http.get("/health")
        assert health.status_code == 503
        assert not problems("Health", health.json())

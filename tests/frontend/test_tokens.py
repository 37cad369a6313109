"""/tokenize, /detokenize, and what streams tell of their prompt."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from dynamo_cli.protocol.instance import ModelIdentity
from tests.frontend.capture import HELLO, Asked, asking, chat
from tests.frontend.toy import CONTEXT, MODEL, Deployment, echo_text


async def tokenize(http: httpx.AsyncClient, **fields: Any) -> Any:
    return (await http.post("/tokenize", json={"model": MODEL, **fields})).json()


async def test_tokenize_and_back(http: httpx.AsyncClient) -> None:
    body = await tokenize(http, prompt="a☂", return_token_strs=True)
    assert (body["count"], body["max_model_len"]) == (4, CONTEXT)
    assert body["token_strs"][0] == "a"
    back = await http.post("/detokenize", json={"model": MODEL, "tokens": [*body["tokens"], 256]})
    assert back.json() == {"prompt": "a☂<|end|>"}
    assert (await http.post("/tokenize", json={"prompt": "a☂"})).json()["tokens"] == body["tokens"]
    assert (await tokenize(http, prompt="", add_special_tokens=False))["tokens"] == []
    assert (await tokenize(http, prompt="a"))["token_strs"] is None


async def test_messages_are_tokenized_as_a_chat_is(bare: Deployment) -> None:
    asked = Asked()
    async with asking(bare, asked) as http:
        await chat(http)
        body = await tokenize(http, messages=HELLO)
        assert body["tokens"] == asked.only.token_ids
        bare_prompt = await tokenize(http, messages=HELLO, add_generation_prompt=False)
        assert bare_prompt["count"] == body["count"] - 2


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/tokenize", {}, 400, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": HELLO}, 400, "prompt"),
        ("/tokenize", {"prompt": 5}, 400, "prompt"),
        ("/tokenize", {"prompt": "a", "tools": [{}]}, 400, "tools[0]"),
        ("/tokenize", {"messages": [{"role": "king"}]}, 400, "messages[0].role"),
        ("/tokenize", {"prompt": "a", "model": "other"}, 404, None),
        ("/detokenize", {}, 400, "tokens"),
        ("/detokenize", {"tokens": [-1]}, 400, "tokens[0]"),
        ("/detokenize", {"tokens": [9999]}, 400, "tokens"),
    ],
)
async def test_wrong_uses(http: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, param: str) -> None:
    answer = await http.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


async def test_a_model_that_takes_text_tokenizes_itself(bare: Deployment) -> None:
    async with asking(bare, echo_text, identity=ModelIdentity(input="text")) as http:
        assert (await tokenize(http, prompt="a"))["error"]["param"] == "model"


async def test_a_model_is_ready_while_a_worker_can_take_requests(bare: Deployment) -> None:
    await bare.start()
    served = await bare.add_worker()
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        for path in (MODEL, MODEL.replace("/", "%2F")):
            answer = await http.get(f"/v1/models/{path}/ready")
            assert (answer.status_code, answer.json()) == (200, {"id": MODEL, "ready": True, "workers": 1})
        assert (await http.get("/v1/models/no/such/ready")).status_code == 404
        await served.unregister()
        while (answer := await http.get(f"/v1/models/{MODEL}/ready")).status_code == 200:
            pass
        assert (answer.status_code, answer.json()) == (503, {"id": MODEL, "ready": False, "workers": 0})


async def test_annotations_come_before_the_first_chunk(http: httpx.AsyncClient) -> None:
    ids = (await tokenize(http, messages=HELLO))["tokens"]
    for names, events in (
        (["formatted_prompt", "token_ids", "unknown"], [("formatted_prompt", "u:hello;a:"), ("token_ids", ids)]),
        (["token_ids"], [("token_ids", ids)]),
    ):
        body = {"model": MODEL, "messages": HELLO, "stream": True, "nvext": {"annotations": names}}
        parts = (await http.post("/v1/chat/completions", json=body)).text.split("\n\n")
        for part, (name, value) in zip(parts, events, strict=False):
            event, comment = part.split("\n")
            assert (event, comment[:2], json.loads(comment[2:])) == (f"event: {name}", ": ", value)
        assert all(part.startswith("data: ") for part in parts[len(events) : -1])
        body["stream"] = False
        assert "choices" in (await http.post("/v1/chat/completions", json=body)).json()


async def test_annotations_of_completions(http: httpx.AsyncClient) -> None:
    nvext = {"annotations": ["formatted_prompt"], "extra_fields": ["worker_id"]}
    body = {"model": MODEL, "prompt": ["a}\n\n", "☂"], "n": 2, "stream": True, "nvext": nvext}
    parts = (await http.post("/v1/completions", json=body)).text.split("\n\n")
    assert [part for part in parts if part.startswith("event")] == [
        'event: formatted_prompt\n: "a}\\n\\n"',
        'event: formatted_prompt\n: "☂"',
    ]
    assert all("nvext" in json.loads(part[6:]) for part in parts if part.startswith("data: {"))


async def test_the_extension_can_be_switched_off(bare: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYN_DISABLE_FRONTEND_NVEXT", "1")
    async with asking(bare, Asked()) as http:
        body = await chat(http, nvext={"token_data": [65], "backend_instance_id": "nobody"})
        assert body["choices"][0]["message"]["content"] == "u:hello;a:"

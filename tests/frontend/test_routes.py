from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from dynamo_cli.protocol.instance import ModelIdentity
from dynamo_cli.text.tokenizer import Tokenizer
from tests.frontend.toy import CONTEXT, MODEL, Deployment, echo_text

HELLO = [{"role": "user", "content": "hello"}]


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": HELLO, **fields}


def tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", **function}}


def calls(call: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [call]}


async def test_models_health_and_liveness(http: httpx.AsyncClient) -> None:
    listed = (await http.get("/v1/models")).json()
    assert listed["object"] == "list"
    (model,) = listed["data"]
    assert model == {**model, "id": MODEL, "object": "model", "owned_by": "dynamo", "context_window": CONTEXT}
    assert (await http.get(f"/v1/models/{MODEL}")).json() == model
    health = (await http.get("/health")).json()
    assert (health["status"], health["models"], len(health["instances"])) == ("healthy", [MODEL], 1)
    assert (await http.get("/live")).json() == {"status": "live"}
    head = await http.head("/v1/models")
    assert (head.status_code, head.content) == (200, b"")


async def test_healthy_is_only_what_can_answer(bare: Deployment) -> None:
    await bare.start(admin=True)
    (path,) = bare.admin_sockets
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with (
        httpx.AsyncClient(base_url=bare.url, trust_env=False) as public,
        httpx.AsyncClient(transport=transport, base_url="http://admin") as admin,
    ):

        async def states() -> list[tuple[int, str, str]]:
            answers = [await client.get("/health") for client in (public, admin)]
            return [(answer.status_code, answer.json()["status"], answer.json()["reason"]) for answer in answers]

        ready = (200, "ready", "")
        assert await states() == [(503, "unhealthy", "no model has a worker yet"), ready]
        served = await bare.add_worker()
        await bare.ready()
        assert await states() == [(200, "healthy", ""), ready]
        await served.unregister()
        while (await states())[0][0] == 200:
            await asyncio.sleep(0.005)
        assert await states() == [(503, "unhealthy", "no model has a worker yet"), ready]
        assert (await public.get("/live")).status_code == (await admin.get("/live")).status_code == 200
        bare.frontend.server.draining = True
        assert await states() == [(503, "draining", "shutting down")] * 2


async def test_chat_answers_in_openais_shape(http: httpx.AsyncClient) -> None:
    body = (await http.post("/v1/chat/completions", json=chat(max_tokens=7, unknown_field=1))).json()
    assert body["id"].startswith("chatcmpl-")
    assert isinstance(body["created"], int)
    assert body == {
        "id": body["id"],
        "object": "chat.completion",
        "created": body["created"],
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "u:hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 7,
            "total_tokens": 17,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
    }


async def test_completion_answers_each_prompt_with_a_choice(http: httpx.AsyncClient) -> None:
    body = (await http.post("/v1/completions", json={"model": MODEL, "prompt": ["ab", "cde"]})).json()
    assert body["id"].startswith("cmpl-")
    assert body["object"] == "text_completion"
    assert [(c["index"], c["text"], c["finish_reason"]) for c in body["choices"]] == [
        (0, "ab", "length"),
        (1, "cde", "length"),
    ]
    assert body["usage"] == {**body["usage"], "prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}


async def test_token_ids_give_the_same_answer_as_the_text(http: httpx.AsyncClient, deployment: Deployment) -> None:
    (model,) = deployment.frontend.models
    assert model.bundle is not None
    ids = model.bundle.encode_chat("u:héllo;a:")
    by_text = await http.post("/v1/chat/completions", json=chat(messages=[{"role": "user", "content": "héllo"}]))
    by_ids = await http.post("/v1/chat/completions", json=chat(messages=HELLO, nvext={"token_data": ids}))
    assert by_text.json()["choices"] == by_ids.json()["choices"]
    assert by_text.json()["choices"][0]["message"]["content"] == "u:héllo;a:"
    prompt = await http.post("/v1/completions", json={"model": MODEL, "prompt": [ids, ids]})
    assert [choice["text"] for choice in prompt.json()["choices"]] == ["u:héllo;a:"] * 2
    one = await http.post("/v1/completions", json={"model": MODEL, "prompt": ids})
    assert [choice["text"] for choice in one.json()["choices"]] == ["u:héllo;a:"]


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        (chat(temperature=3), "temperature", "2.0"),
        (chat(temperature="warm"), "temperature", "expected"),
        (chat(max_tokens=0), "max_tokens", "1"),
        (chat(max_completion_tokens=0), "max_completion_tokens", "1"),
        (chat(top_p=0), "top_p", "0"),
        (chat(max_tokens=-1), "max_tokens", "1"),
        (chat(min_tokens=3, max_tokens=2), "min_tokens", "more than the 2"),
        (chat(n=0), "n", "1"),
        (chat(n=129), "n", "128"),
        (chat(n=2, best_of=3), "best_of", "equals n"),
        (chat(best_of=2), "best_of", "equals n"),
        (chat(logprobs=True), "logprobs", f"the engine of model {MODEL} cannot"),
        (chat(logprobs=5), "logprobs", "bool"),
        (chat(top_logprobs=3), "top_logprobs", "logprobs"),
        (chat(logprobs=True, top_logprobs=21), "top_logprobs", "20"),
        (chat(tools=[{"type": "function"}]), "tools[0]", "function"),
        (chat(tools=[{"type": "function", "function": {}}]), "tools[0].function.name", "required"),
        (chat(tools=[5]), "tools[0]", "object"),
        (chat(tools=[tool(description=5)]), "tools[0].function.description", "text"),
        (chat(tools=[tool(parameters=[])]), "tools[0].function.parameters", "object"),
        (chat(messages=[{**HELLO[0], "tool_calls": 5}]), "messages[0].tool_calls", "list"),
        (chat(messages=[{**HELLO[0], "name": 5}]), "messages[0].name", "text"),
        (chat(messages=[calls({})]), "messages[0].tool_calls[0]", "function"),
        (chat(messages=[calls({"function": {}})]), "messages[0].tool_calls[0].function.name", "required"),
        (
            chat(messages=[calls({"function": {"name": "f", "arguments": 5}})]),
            "messages[0].tool_calls[0].function.arguments",
            "JSON",
        ),
        (chat(max_tokens=2**31), "max_tokens", str(2**31 - 1)),
        (chat(audio={}), "audio", "not supported"),
        (chat(tool_choice="required"), "tool_choice", "auto"),
        (chat(functions=[{}]), "functions", "not supported"),
        (chat(stream_options={"include_usage": True}), "stream_options", "stream is true"),
        (chat(continue_final_message=True), "continue_final_message", "assistant"),
        (chat(continue_final_message=True, add_generation_prompt=True), "continue_final_message", "together"),
        (chat(top_k=-2), "top_k", "-1"),
        (chat(min_p=1.1), "min_p", "1"),
        (chat(seed=2**63), "seed", str(2**63 - 1)),
        (chat(presence_penalty=2.1), "presence_penalty", "2"),
        (chat(stop=5), "stop", "expected"),
        (chat(logit_bias={"99999": 1}), "logit_bias", "99999"),
        (chat(logit_bias={"word": 1}), "logit_bias", "expected"),
        (chat(stop_token_ids=[99999]), "stop_token_ids", "99999"),
        (chat(stop=["a", ""]), "stop", "empty"),
        (chat(stop=["a"] * 33), "stop", "at most 32"),
        (chat(stream_options={"include_usage": 1}), "stream_options.include_usage", "bool"),
        (chat(logit_bias={"5": 1000}), "logit_bias", "100"),
        (chat(messages=[]), "messages", "at least one"),
        (chat(messages="hi"), "messages", "array"),
        (chat(messages=[{"content": "hi"}]), "messages[0].role", "required"),
        (chat(messages=[{"role": "king", "content": "hi"}]), "messages[0].role", "unknown role"),
        (chat(messages=[{"role": "user"}]), "messages[0].content", "required"),
        (chat(messages=[*HELLO, {"role": "user", "content": 5}]), "messages[1].content", "int"),
        (
            chat(messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
            "messages[0].content[0].image_url.url",
            "want a URL",
        ),
        (
            chat(messages=[{"role": "user", "content": [{"type": "smell"}]}]),
            "messages[0].content[0]",
            "no part of type",
        ),
        (
            chat(messages=[{"role": "user", "content": [{"type": "text", "text": 5}]}]),
            "messages[0].content[0].text",
            "text",
        ),
        (chat(nvext={"token_data": [99999]}), "nvext.token_data", "99999"),
        (chat(nvext={"token_data": []}), "nvext.token_data", "length >= 1"),
        (chat(nvext={"backend_instance_id": "nobody"}), "nvext.backend_instance_id", "instance"),
        (chat(max_tokens=CONTEXT), "max_tokens", "context"),
        (chat(max_completion_tokens=CONTEXT), "max_completion_tokens", "context"),
        (chat(messages=[{"role": "user", "content": "x" * CONTEXT}]), "messages", "context"),
        ({"messages": HELLO}, "model", "required"),
    ],
)
async def test_bad_fields_are_named(
    http: httpx.AsyncClient, body: dict[str, Any], param: str | None, says: str
) -> None:
    answer = await http.post("/v1/chat/completions", json=body)
    if param is None:
        assert answer.status_code == 200
        return
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert says in error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    too_long = "context" in says
    assert error["code"] == ("context_length_exceeded" if too_long else None)


@pytest.mark.parametrize(
    ("path", "prompt"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * (50 * CONTEXT)}]}),
        ("/v1/completions", {"prompt": ["short", "x" * (50 * CONTEXT)]}),
    ],
)
async def test_a_hopelessly_long_prompt_is_refused_without_tokenizing_it(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str, prompt: dict[str, Any]
) -> None:
    tokenized = []
    encode = Tokenizer.encode

    def remember(self: Tokenizer, text: str, **options: bool) -> list[int]:
        tokenized.append(text)
        return encode(self, text, **options)

    monkeypatch.setattr(Tokenizer, "encode", remember)
    answer = await http.post(path, json={"model": MODEL, **prompt})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert tokenized in ([], ["short"])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", 5]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "logprobs": 6}, "logprobs"),
        ({"prompt": "a", "logprobs": True}, "logprobs"),
        ({"prompt": ["a"] * 17, "n": 128}, "n"),
        ({"prompt": "a", "best_of": 2}, "best_of"),
        ({}, "prompt"),
    ],
)
async def test_bad_completions_are_named(http: httpx.AsyncClient, body: dict[str, Any], param: str) -> None:
    answer = await http.post("/v1/completions", json={"model": MODEL, **body})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code", "says"),
    [
        ("GET", "/nowhere", b"", 404, "unknown_url", "/nowhere"),
        ("GET", "/v1/chat/completions", b"", 405, "method_not_allowed", "use POST"),
        ("DELETE", "/v1/models", b"", 405, "method_not_allowed", "use GET"),
        ("POST", "/v1/chat/completions", b"{", 400, None, "not valid JSON"),
        ("POST", "/v1/completions", rb'{"prompt": "\ud83d"}', 400, None, r"\ud83d, half of a character"),
        ("POST", "/v1/completions", rb'{"prompt": "\ud83d!"}', 400, None, r"\ud83d, half of a character"),
        ("POST", "/v1/chat/completions", b"[]", 400, None, "object"),
        ("POST", "/v1/chat/completions", b'{"model": "other", "messages": [{"role": "user", "content": "x"}]}', 404,
         "model_not_found", f"'other' is not served here; served: {MODEL}"),
        ("GET", "/v1/models/other/one", b"", 404, "model_not_found", "other/one"),
    ],
)  # fmt: skip
async def test_errors_have_openais_envelope(
    http: httpx.AsyncClient, method: str, path: str, content: bytes, status: int, code: str | None, says: str
) -> None:
    answer = await http.request(method, path, content=content)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert says in error["message"]


async def test_null_is_as_good_as_absent(http: httpx.AsyncClient) -> None:
    nulls = dict.fromkeys(
        ("stream", "stop", "temperature", "n", "tools", "nvext", "stream_options", "logprobs", "seed")
    )
    assert (await http.post("/v1/chat/completions", json=chat(**nulls))).status_code == 200


async def test_content_parts_become_text(http: httpx.AsyncClient) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    body = (await http.post("/v1/chat/completions", json=chat(messages=[{"role": "user", "content": parts}]))).json()
    assert body["choices"][0]["message"]["content"] == "u:one\ntwo;a:"


async def test_a_text_model_gets_messages_and_prompts(bare: Deployment) -> None:
    await bare.start()
    await bare.add_worker(echo_text, name="words", identity=ModelIdentity(input="text"))
    await bare.ready(name="words")
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        body = (await http.post("/v1/chat/completions", json=chat(model="words", messages=HELLO))).json()
        assert body["choices"][0]["message"]["content"] == "hello"
        body = (await http.post("/v1/completions", json={"model": "words", "prompt": "one two", "stop": "wo"})).json()
        assert (body["choices"][0]["text"], body["choices"][0]["finish_reason"]) == ("one t", "stop")
        refused = await http.post("/v1/completions", json={"model": "words", "prompt": [1, 2]})
        assert refused.json()["error"]["param"] == "prompt"
        refused = await http.post("/v1/chat/completions", json=chat(model="words", nvext={"token_data": [1]}))
        assert refused.json()["error"]["param"] == "nvext.token_data"

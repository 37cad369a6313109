from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from dynamo_cli.errors import EngineFailed
from dynamo_cli.frontend.answer import Answer
from dynamo_cli.frontend.choice import Choice
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.routing.flight import Flight
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.http.connection import HttpConnection
from dynamo_cli.runtime.http.exchange import Exchange
from tests.frontend.toy import MODEL, Deployment, asyncio_deadline, endless
from tests.runtime.waiting import until


def chat(text: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], "stream": True, **fields}


async def events(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> list[Any]:
    answer = await http.post(path, json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, end = answer.text.split("\n\n")
    assert end == ""
    assert all(event.startswith("data: ") for event in events)
    return [event if event == "data: [DONE]" else json.loads(event[6:]) for event in events]


def text_of(chunks: list[Any]) -> str:
    return "".join(c["delta"].get("content", "") for chunk in chunks[:-1] for c in chunk["choices"])


async def test_a_chat_stream_is_openais_transcript(http: httpx.AsyncClient) -> None:
    *chunks, done = await events(http, "/v1/chat/completions", chat(stream_options={"include_usage": True}))
    assert done == "data: [DONE]"
    head = {key: chunks[0][key] for key in ("id", "object", "created", "model")}
    assert re.fullmatch("chatcmpl-[0-9a-f]{32}", head["id"])
    assert head["object"] == "chat.completion.chunk"
    assert all({key: chunk[key] for key in head} == head for chunk in chunks)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert all("role" not in chunk["choices"][0]["delta"] for chunk in chunks[1:-1])
    assert text_of([*chunks, done]) == "u:hello;a:"
    finish = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}
    assert chunks[-2]["choices"] == [finish]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 10,
        "total_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 3},
    }


async def test_usage_comes_only_when_asked_for(http: httpx.AsyncClient) -> None:
    *chunks, _ = await events(http, "/v1/chat/completions", chat())
    assert not any("usage" in chunk for chunk in chunks)


async def test_a_completion_stream_has_a_choice_for_each_prompt(http: httpx.AsyncClient) -> None:
    body = {"model": MODEL, "prompt": ["ab%", 'c"d'], "stream": True}
    *chunks, done = await events(http, "/v1/completions", body)
    texts, reasons = {0: "", 1: ""}, {}
    for chunk in chunks:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["text"]
        reasons[choice["index"]] = choice["finish_reason"]
    assert (texts, reasons, done) == ({0: "ab%", 1: 'c"d'}, {0: "length", 1: "length"}, "data: [DONE]")


async def test_a_stop_string_ends_the_stream_before_it(http: httpx.AsyncClient) -> None:
    chunks = await events(http, "/v1/chat/completions", chat("hello world", stop=["o w", "zzz"]))
    assert text_of(chunks) == "u:hell"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_stop_string_frees_the_worker(bare: Deployment, stream: bool) -> None:
    await bare.start()
    served = await bare.add_worker(endless)
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http, asyncio_deadline(10):
        body = {"model": MODEL, "prompt": "A", "stream": stream, "stop": "AAAA"}
        answer = await http.post("/v1/completions", json=body)
        assert "AAAA" not in answer.text
        while served.inflight:
            await asyncio.sleep(0.002)


async def test_the_official_client_streams_and_does_not(deployment: Deployment) -> None:
    async with openai.AsyncOpenAI(base_url=f"{deployment.url}/v1", api_key="none", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "hi ☂"}]
        whole = await client.chat.completions.create(model=MODEL, messages=messages)
        assert whole.choices[0].message.content == "u:hi ☂;a:"
        assert whole.usage is not None
        assert whole.usage.prompt_tokens_details is not None
        assert whole.usage.prompt_tokens_details.cached_tokens == 3
        stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == "u:hi ☂;a:"
        completion = await client.completions.create(model=MODEL, prompt="abc")
        assert completion.choices[0].text == "abc"
        assert [model.id async for model in client.models.list()] == [MODEL]
        assert (await client.models.retrieve(MODEL)).id == MODEL
        with pytest.raises(openai.BadRequestError) as bad:
            await client.chat.completions.create(model=MODEL, messages=messages, temperature=3)
        assert bad.value.param == "temperature"
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model="other", messages=messages)
        assert missing.value.code == "model_not_found"


async def breaks_midway(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
    yield Delta([5])
    await asyncio.sleep(0.02)
    raise EngineFailed("out of luck")


async def breaks_at_once(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
    raise EngineFailed("out of luck")
    yield Delta()


async def ends_without_a_reason(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
    yield Delta([5])


async def test_an_error_after_the_first_byte_is_an_event(bare: Deployment) -> None:
    await bare.start()
    await bare.add_worker(breaks_midway)
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        *_, error, done = await events(http, "/v1/chat/completions", chat())
        assert done == "data: [DONE]"
        assert error["error"] == {
            "message": "out of luck",
            "type": "server_error",
            "param": None,
            "code": "engine_failed",
        }
        whole = await http.post("/v1/chat/completions", json=chat(stream=False))
        assert (whole.status_code, whole.json()["error"]["message"]) == (500, "out of luck")


async def test_an_error_before_the_first_byte_is_a_status(bare: Deployment) -> None:
    await bare.start()
    await bare.add_worker(breaks_at_once)
    await bare.add_worker(ends_without_a_reason, name="silent")
    await bare.ready()
    await bare.ready(name="silent")
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        answer = await http.post("/v1/chat/completions", json=chat())
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "engine_failed")
        answer = await http.post("/v1/chat/completions", json=chat(model="silent", stream=False))
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "stream_incomplete")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_cancels_its_request(bare: Deployment, stream: bool) -> None:
    await bare.start()
    served = await bare.add_worker(endless)
    await bare.ready()
    body = json.dumps({"model": MODEL, "prompt": "A", "stream": stream}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", bare.port)
    writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    async with asyncio_deadline(10):
        if stream:
            await reader.readuntil(b"data: ")
        while not served.inflight:
            await asyncio.sleep(0.002)
        writer.close()
        while served.inflight:
            await asyncio.sleep(0.002)
    assert bare.frontend.models.counts[MODEL].disconnected == 1
    assert bare.frontend.models.counts[MODEL].inflight == 0


async def test_a_slow_reader_holds_the_worker_back_not_the_memory(bare: Deployment) -> None:
    produced = 0

    async def fast(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        nonlocal produced
        while produced < 10_000:
            produced += 1
            yield Delta(request.token_ids[:1] * 1000)
        yield Delta(finish_reason="stop")

    await bare.start()
    await bare.add_worker(fast)
    await bare.ready()
    body = json.dumps({"model": MODEL, "prompt": "A", "stream": True}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", bare.port, limit=1 << 14)
    writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    async with asyncio_deadline(30):
        await reader.readuntil(b"data: ")
        before = 0
        while before != produced or not produced:  # until the worker stands still
            before = produced
            await asyncio.sleep(0.2)
        assert produced < 10_000
        (connection,) = bare.frontend.server.connections
        assert connection.unsent < 1 << 20
        received = await _until_done(reader)
    assert sum(map(len, re.findall(rb'"text":"(A+)', received))) == 10_000_000
    writer.close()


async def _until_done(reader: asyncio.StreamReader) -> bytes:
    received = bytearray()
    while not received.endswith(b"0\r\n\r\n"):
        received += await reader.read(1 << 16)
    return bytes(received)


@pytest.mark.parametrize("stream", [True, False])
async def test_answers_leave_no_reference_cycles(http: httpx.AsyncClient, stream: bool) -> None:
    def parts() -> int:
        return sum(isinstance(item, (Answer, Choice, Exchange, Flight)) for item in gc.get_objects())

    await http.post("/v1/chat/completions", json=chat(stream=stream))
    gc.collect()
    before = parts()  # what other tests still hold
    gc.disable()
    try:
        for _ in range(3):
            await http.post("/v1/chat/completions", json=chat(stream=stream))
        await until(lambda: parts() <= before)  # the worker's word that it is over comes after the client's answer
    finally:
        gc.enable()


async def test_connections_leave_no_reference_cycles(deployment: Deployment) -> None:
    gc.collect()
    gc.disable()
    try:
        for patience in (5.0, 0.0):
            async with httpx.AsyncClient(base_url=deployment.url, trust_env=False, timeout=patience) as client:
                with contextlib.suppress(httpx.TimeoutException):
                    await client.post("/v1/chat/completions", json=chat())
        await until(lambda: not deployment.frontend.server.connections)
        await until(lambda: not [item for item in gc.get_objects() if isinstance(item, HttpConnection)])
    finally:
        gc.enable()

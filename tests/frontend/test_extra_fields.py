"""What an answer tells about itself when `nvext.extra_fields` asks."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dynamo_cli.errors import Draining
from dynamo_cli.frontend.app import FrontendOptions
from dynamo_cli.frontend.extended import ExtendedStream, ExtendedWhole, Extras
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.endpoint import ServedEndpoint
from tests.frontend.toy import MODEL, Deployment, asyncio_deadline, echo

BOTH = ["worker_id", "timing"]
PATHS = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": '"}\n\n☂'}]},
    "/v1/completions": {"prompt": '{"}\n\n☂}'},
}


def body(path: str, fields: list[Any] | None, **more: Any) -> dict[str, Any]:
    extra = {} if fields is None else {"nvext": {"extra_fields": fields}}
    return {"model": MODEL, **PATHS[path], **extra, **more}


def chunks_of(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    *events, done, end = answer.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def plain(chunk: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in chunk.items() if key not in ("id", "created", "nvext")}


def worker(served: ServedEndpoint, service: str = "") -> dict[str, str]:
    named = {"decode_worker": service} if service else {}
    return {"decode_worker_id": f"{served.instance.instance_id:x}", **named}


def check_timing(timing: dict[str, float], began: float, elapsed_ms: float) -> None:
    assert set(timing) == {"request_received_ms", "ttft_ms", "total_time_ms"}
    assert began * 1e3 - 50 <= timing["request_received_ms"] <= began * 1e3 + elapsed_ms + 50
    assert 0 < timing["ttft_ms"] <= timing["total_time_ms"] <= elapsed_ms


@pytest.fixture
async def named(bare: Deployment) -> ServedEndpoint:
    await bare.start()
    served = await bare.add_worker(service="decode-1")
    await bare.ready()
    return served


@pytest.fixture
async def client(named: ServedEndpoint, bare: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("usage", [True, False])
async def test_every_chunk_has_the_worker_and_the_last_one_the_times(
    client: httpx.AsyncClient, named: ServedEndpoint, path: str, usage: bool
) -> None:
    streamed: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": usage}}
    began, clock = time.time(), time.perf_counter()
    chunks = chunks_of(await client.post(path, json=body(path, BOTH, **streamed)))
    elapsed_ms = (time.perf_counter() - clock) * 1e3
    without = chunks_of(await client.post(path, json=body(path, None, **streamed)))
    assert all(chunk["nvext"]["worker_id"] == worker(named, "decode-1") for chunk in chunks)
    assert [("timing" in chunk["nvext"]) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert bool(chunks[-1].get("usage")) == usage
    check_timing(chunks[-1]["nvext"]["timing"], began, elapsed_ms)
    assert not any("nvext" in chunk for chunk in without)
    assert text_of(chunks) == text_of(without)
    assert plain(chunks[-1]) == plain(without[-1])


def text_of(chunks: list[Any]) -> str:
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content", "") if "delta" in choice else choice["text"] for choice in choices)


@pytest.mark.parametrize("path", PATHS)
async def test_a_whole_answer_has_both(client: httpx.AsyncClient, named: ServedEndpoint, path: str) -> None:
    began, clock = time.time(), time.perf_counter()
    answer = (await client.post(path, json=body(path, BOTH))).json()
    elapsed_ms = (time.perf_counter() - clock) * 1e3
    assert answer["nvext"]["worker_id"] == worker(named, "decode-1")
    check_timing(answer["nvext"]["timing"], began, elapsed_ms)
    assert plain(answer) == plain((await client.post(path, json=body(path, None))).json())


@pytest.mark.parametrize("fields", [None, [], ["token_ids"], ["worker_id"], ["timing", "nonsense"]])
@pytest.mark.parametrize("stream", [True, False])
async def test_only_what_is_asked_for_is_told(
    client: httpx.AsyncClient, fields: list[str] | None, stream: bool
) -> None:
    path = "/v1/chat/completions"
    answer = await client.post(path, json=body(path, fields, stream=stream))
    last = chunks_of(answer)[-1] if stream else answer.json()
    assert set(last.get("nvext", {})) == {"worker_id", "timing"}.intersection(fields or [])
    assert "nvext" in last or not {"worker_id", "timing"}.intersection(fields or [])


async def test_the_first_token_of_a_whole_answer_is_timed_when_it_comes(bare: Deployment) -> None:
    async def slow_after_the_first(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        yield Delta([65])
        await asyncio.sleep(0.2)
        yield Delta([66], finish_reason="stop")

    await bare.start()
    await bare.add_worker(slow_after_the_first)
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as client:
        path = "/v1/completions"
        timing = (await client.post(path, json=body(path, ["timing"]))).json()["nvext"]["timing"]
        assert timing["total_time_ms"] - timing["ttft_ms"] > 150


@pytest.mark.parametrize("stream", [True, False])
async def test_the_worker_that_answered_is_named_not_the_one_tried_first(bare: Deployment, stream: bool) -> None:
    refusals = 0

    async def refuses(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        nonlocal refusals
        refusals += 1
        raise Draining("not any more")
        yield Delta()

    await bare.start(FrontendOptions(router_mode="round-robin"))
    await bare.add_worker(refuses)
    good = await bare.add_worker(echo)
    await bare.ready(2)
    path = "/v1/chat/completions"
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as client, asyncio_deadline(10):
        while not refusals:
            answer = await client.post(path, json=body(path, ["worker_id"], stream=stream))
            chunks = chunks_of(answer) if stream else [answer.json()]
            assert all(chunk["nvext"]["worker_id"] == worker(good) for chunk in chunks)


async def test_choices_of_several_workers_are_told_apart_in_a_stream(bare: Deployment) -> None:
    await bare.start(FrontendOptions(router_mode="round-robin"))
    known = {worker(await bare.add_worker())["decode_worker_id"] for _ in range(2)}
    await bare.ready(2)
    request = {"model": MODEL, "prompt": ["ab", "cd"], "nvext": {"extra_fields": BOTH}}
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as client:
        chunks = chunks_of(await client.post("/v1/completions", json={**request, "stream": True}))
        served = {chunk["choices"][0]["index"]: chunk["nvext"]["worker_id"]["decode_worker_id"] for chunk in chunks}
        assert set(served.values()) == known
        for chunk in chunks:
            assert chunk["nvext"]["worker_id"]["decode_worker_id"] == served[chunk["choices"][0]["index"]]
        whole = (await client.post("/v1/completions", json=request)).json()
        assert set(whole["nvext"]) == {"timing"}, "no one worker answered it all"


@pytest.mark.parametrize("wrong", ["worker_id", 3, {"worker_id": True}, [1], ["timing", None], [["timing"]]])
@pytest.mark.parametrize("path", PATHS)
async def test_a_wrong_type_is_refused_by_name(client: httpx.AsyncClient, path: str, wrong: Any) -> None:
    answer = await client.post(path, json={**body(path, None), "nvext": {"extra_fields": wrong}})
    error = answer.json()["error"]
    item = f"[{len(wrong) - 1}]" if isinstance(wrong, list) else ""
    assert (answer.status_code, error["param"]) == (400, f"nvext.extra_fields{item}")
    assert error["message"].startswith(f"nvext.extra_fields{item}: expected ")


@pytest.mark.parametrize("stream", [True, False])
async def test_extended_answers_leave_no_reference_cycles(client: httpx.AsyncClient, stream: bool) -> None:
    path = "/v1/chat/completions"
    await client.post(path, json=body(path, BOTH, stream=stream))
    gc.collect()
    gc.disable()
    try:
        await client.post(path, json=body(path, BOTH, stream=stream))
        assert [item for item in gc.get_objects() if isinstance(item, (ExtendedStream, ExtendedWhole, Extras))] == []
    finally:
        gc.enable()

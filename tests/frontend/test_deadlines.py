"""How long a client waits, and what keeps a stream alive meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from dynamo_cli.errors import EngineFailed, UsageError
from dynamo_cli.frontend.app import FrontendOptions
from dynamo_cli.frontend.deadlines import LONGEST_MS, TICK_S, Deadlines
from dynamo_cli.frontend.keepalive import KeepAliveOptions
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.runtime.context import Context
from tests.frontend.held import Held
from tests.frontend.metrics.test_endpoint import finished, samples
from tests.frontend.toy import MODEL, Deployment
from tests.runtime.waiting import until

HEADER = "x-request-timeout-ms"
BODY = {"model": MODEL, "prompt": "hello", "max_tokens": 3}


@asynccontextmanager
async def serving(bare: Deployment, worker: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    await bare.start(FrontendOptions(**options))
    await bare.add_worker(worker)
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        yield http


async def ask(http: httpx.AsyncClient, timeout_ms: str = "", **fields: Any) -> httpx.Response:
    headers = {HEADER: timeout_ms} if timeout_ms else {}
    return await http.post("/v1/completions", json={**BODY, **fields}, headers=headers)


@pytest.mark.parametrize("stream", [False, True])
async def test_in_time_is_in_time(bare: Deployment, stream: bool) -> None:
    held = Held()
    held.go.set()
    async with serving(bare, held) as http:
        assert (await ask(http, "5000", stream=stream)).status_code == 200


@pytest.mark.parametrize(("stream", "begun"), [(False, 0), (False, 1), (True, 0)])
async def test_too_late_is_504_and_the_engine_stops(bare: Deployment, stream: bool, begun: int) -> None:
    held = Held(begun)
    async with serving(bare, held) as http:
        late = await ask(http, "100", stream=stream, n=2)
        assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
        await until(lambda: held.stopped == 2 and not held.waiting)
        counts = samples((await http.get("/metrics")).text)
    assert counts[finished("completions", "stream" if stream else "unary", "response_timeout")] == 1


async def test_too_late_after_the_first_byte_is_an_event(bare: Deployment) -> None:
    held = Held(before=1)
    async with serving(bare, held) as http:
        late = await ask(http, "100", stream=True)
        first, error, done, _ = late.text.split("\n\n")
        assert late.status_code == 200
        assert json.loads(first[6:])["choices"][0]["text"] == "h"
        assert json.loads(error[6:])["error"]["code"] == "deadline_exceeded"
        assert done == "data: [DONE]"
        await until(lambda: held.stopped)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", str(LONGEST_MS + 1), "9" * 40, "²"])
async def test_a_wrong_time_is_named(http: httpx.AsyncClient, value: str) -> None:
    answer = await http.post("/v1/completions", json=BODY, headers={HEADER: value.encode()})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, HEADER)


class Guest:
    def __init__(self) -> None:
        self.told = 0

    def expire(self) -> None:
        self.told += 1


async def test_one_timer_tells_each_at_its_time() -> None:
    loop, deadlines = asyncio.get_running_loop(), Deadlines()
    guests = [Guest() for _ in range(30)]
    ticks = [deadlines.add(guest, 0.01 * (30 - at)) for at, guest in enumerate(guests)]
    for guest, tick in zip(guests[::2], ticks[::2], strict=True):
        deadlines.discard(guest, tick)
    began = loop.time()
    await until(lambda: guests[1].told)
    assert 0.29 - TICK_S < loop.time() - began
    assert [guest.told for guest in guests] == [0, 1] * 15
    deadlines.discard(guests[1], ticks[1])
    later = Guest()
    deadlines.add(later, 0.0)
    await until(lambda: later.told)


async def test_a_silent_stream_gets_comments(bare: Deployment) -> None:
    held = Held()
    async with (
        serving(bare, held, keep_alive=KeepAliveOptions(interval_s=0.05)) as http,
        http.stream("POST", "/v1/completions", json={**BODY, "stream": True}) as answer,
    ):
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        assert [await anext(lines) for _ in range(4)] == [":", "", ":", ""]
        held.go.set()
        events = [line async for line in lines if line not in ("", ":")]
    assert [event[:6] for event in events] == ["data: "] * len(events)
    assert "".join(json.loads(e[6:])["choices"][0]["text"] for e in events[:-1]) == "hel"


async def test_an_answer_that_is_whole_gets_none(bare: Deployment) -> None:
    held = Held()
    async with serving(bare, held, keep_alive=KeepAliveOptions(interval_s=0.02)) as http:
        task = asyncio.create_task(ask(http))
        await until(lambda: held.waiting)
        await asyncio.sleep(0.1)
        held.go.set()
        assert (await task).json()["choices"][0]["text"] == "hel"


async def test_an_error_within_the_peek_has_its_status(bare: Deployment) -> None:
    async def slow_to_fail(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        await asyncio.sleep(0.2)
        raise EngineFailed("no")
        yield Delta()

    async with serving(bare, slow_to_fail, keep_alive=KeepAliveOptions(0.02, peek_s=5)) as http:
        assert (await ask(http, stream=True)).status_code == 500


async def test_an_error_after_a_comment_is_an_event(bare: Deployment) -> None:
    async def slow_to_fail(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        await asyncio.sleep(0.2)
        raise EngineFailed("no")
        yield Delta()

    async with serving(bare, slow_to_fail, keep_alive=KeepAliveOptions(0.02)) as http:
        answer = await ask(http, stream=True)
        assert answer.status_code == 200
        assert '"code":"engine_failed"' in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("name", ["DYN_HTTP_SSE_KEEP_ALIVE_INTERVAL_MS", "DYN_HTTP_PRE_COMMIT_ERROR_PEEK_MS"])
def test_options_of_the_environment(name: str) -> None:
    assert KeepAliveOptions.from_environment({name: "1500"}) in (KeepAliveOptions(1.5), KeepAliveOptions(0, 1.5))
    assert KeepAliveOptions.from_environment({}) == KeepAliveOptions()
    for value in ("-1", "often"):
        with pytest.raises(UsageError, match=name):
            KeepAliveOptions.from_environment({name: value})

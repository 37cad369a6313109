"""So many at the engine, a few waiting, the rest refused; and what a worker says of its load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from dynamo_cli.errors import Overloaded
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Engine, EngineInfo
from dynamo_cli.workers.limit import RequestLimit
from dynamo_cli.workers.load import LoadReport
from tests.runtime.waiting import until


class Slow(Engine):
    """Each request runs until it is let go or stopped. It tells how many run, if it `tells`."""

    def __init__(self, tells: bool = True) -> None:
        self.running = 0
        self.most = 0
        self.go = asyncio.Event()
        self._tells = tells

    async def start(self) -> EngineInfo:
        return EngineInfo()

    async def stop(self) -> None: ...

    def load(self) -> WorkerLoad | None:
        return WorkerLoad(running=self.running) if self._tells else None

    async def generate(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        self.running += 1
        self.most = max(self.most, self.running)
        context.on_stop(self.go.set)
        try:
            await self.go.wait()
            yield Delta([1], "cancelled" if context.stopped else "stop")
        finally:
            self.running -= 1


async def collect(limit: RequestLimit, engine: Slow, context: Context | None = None) -> list[str | None]:
    answers = limit.generate(engine.generate, EngineRequest("m"), context or Context())
    return [delta.finish_reason async for delta in answers]


async def begin(limit: RequestLimit, engine: Slow, count: int) -> list[asyncio.Task[list[str | None]]]:
    tasks = [asyncio.create_task(collect(limit, engine)) for _ in range(count)]
    await asyncio.sleep(0)
    await until(lambda: engine.running)
    return tasks


async def test_the_engine_is_given_so_many_and_the_rest_waits_or_is_refused() -> None:
    limit, engine = RequestLimit(2, queue=3), Slow()
    tasks = await begin(limit, engine, 5)
    assert (engine.running, limit.gate.waiting) == (2, 3)
    for _ in range(2):
        with pytest.raises(Overloaded, match="limit of 2 requests"):
            await collect(limit, engine)
    engine.go.set()
    assert await asyncio.gather(*tasks) == [["stop"]] * 5
    assert (engine.most, limit.refused, limit.gate.inside, limit.gate.waiting) == (2, 2, 0, 0)
    assert await collect(limit, engine) == ["stop"]
    assert "dynamo_rejection_request_total 2\n" in limit.metrics()


async def test_without_a_queue_nobody_waits() -> None:
    limit, engine = RequestLimit(1, queue=0), Slow()
    tasks = await begin(limit, engine, 1)
    with pytest.raises(Overloaded):
        await collect(limit, engine)
    engine.go.set()
    assert await asyncio.gather(*tasks) == [["stop"]]


async def test_who_is_stopped_while_it_waits_leaves_its_place() -> None:
    limit, engine = RequestLimit(1, queue=1), Slow()
    tasks = await begin(limit, engine, 1)
    context = Context()
    waiting = asyncio.create_task(collect(limit, engine, context))
    await until(lambda: limit.gate.waiting)
    context.stop()
    assert await waiting == ["cancelled"]
    again = asyncio.create_task(collect(limit, engine))
    await until(lambda: limit.gate.waiting)
    engine.go.set()
    assert await asyncio.gather(*tasks, again) == [["stop"], ["stop"]]


async def test_an_answer_nobody_reads_on_makes_room() -> None:
    limit, engine = RequestLimit(1, queue=0), Slow()
    engine.go.set()
    answers = limit.generate(engine.generate, EngineRequest("m"), Context())
    assert (await anext(answers)).token_ids == [1]
    assert limit.gate.inside == 1
    await answers.aclose()  # type: ignore[attr-defined]
    assert (limit.gate.inside, engine.running) == (0, 0)


async def test_the_load_is_kept_up_to_date_while_requests_run() -> None:
    engine = Slow()
    report = LoadReport(engine, lambda: engine.running)

    def load() -> WorkerLoad:
        return msgspec.msgpack.decode(report.read(), type=WorkerLoad)

    assert load() == WorkerLoad()
    for _ in range(2):
        report.begin()
        engine.running = 3
        await until(lambda: load().running == 3)
        engine.running = 0
        await until(lambda: load().running == 0)


async def test_what_the_engine_holds_after_its_last_request_is_looked_at_until_it_is_gone() -> None:
    engine = Slow()
    report = LoadReport(engine, lambda: 0)
    asked, tell = 0, engine.load

    def counted() -> WorkerLoad | None:
        nonlocal asked
        asked += 1
        return tell()

    engine.load = counted  # type: ignore[method-assign]
    engine.running = 1
    report.begin()
    await until(lambda: asked == 3)
    engine.running = 0
    await until(lambda: report.read() == msgspec.msgpack.encode(WorkerLoad()))
    seen = asked
    report.begin()
    await until(lambda: asked == seen + 1)


async def test_an_engine_that_fails_to_tell_once_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    engine = Slow()
    report = LoadReport(engine, lambda: 1)
    asked, right = 0, engine.load

    def wrong() -> WorkerLoad | None:
        nonlocal asked
        asked += 1
        raise KeyError("running")

    engine.load = wrong  # type: ignore[method-assign]
    report.begin()
    await until(lambda: asked == 2)
    engine.load = right  # type: ignore[method-assign]
    engine.running = 3
    await until(lambda: msgspec.msgpack.decode(report.read(), type=WorkerLoad).running == 3)
    assert [record.message for record in caplog.records] == ["the engine cannot tell its load"]


async def test_who_asks_for_the_load_now_hears_nothing_of_an_engine_that_fails_to_tell() -> None:
    engine = Slow()
    report = LoadReport(engine, lambda: 1)
    engine.running = 3
    told = report.now()
    assert told is not None and told.running == 3

    def wrong() -> WorkerLoad | None:
        raise KeyError("running")

    engine.load = wrong  # type: ignore[method-assign]
    assert report.now() is None
    assert msgspec.msgpack.decode(report.read(), type=WorkerLoad).running == 3


async def test_an_engine_that_cannot_tell_is_not_asked_again() -> None:
    engine = Slow(tells=False)
    report = LoadReport(engine, lambda: 1)
    report.begin()
    assert report.read() == b""

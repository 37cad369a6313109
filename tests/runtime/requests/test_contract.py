"""What every request plane promises."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from msgspec.structs import astuple

from dynamo_cli.errors import (
    CannotConnect,
    Draining,
    DynamoError,
    EngineFailed,
    InvalidRequest,
    ModelMissing,
    NoInstances,
    Overloaded,
    PlaneError,
    StreamIncomplete,
)
from dynamo_cli.runtime.context import Context, current_context
from dynamo_cli.runtime.requests.base import RequestClient, RequestServer, Stream
from dynamo_cli.runtime.requests.iterator import iterate
from dynamo_cli.runtime.requests.tcp import TcpRequestClient, TcpRequestServer
from dynamo_cli.runtime.trail import begin_trail
from tests.runtime.waiting import until

TOKEN = b"secret"
NAME = "dynamo.backend.generate"


class Sink:
    """Remembers what a stream brought."""

    def __init__(self) -> None:
        self.frames: list[list[Any]] = []
        self.ended = False
        self.error: DynamoError | None = None
        self.endings = 0

    def on_frame(self, deltas: list[Any]) -> None:
        assert not self.over
        self.frames.append(deltas)

    def on_end(self) -> None:
        self.ended = True
        self.endings += 1

    def on_error(self, error: DynamoError) -> None:
        self.error = error
        self.endings += 1

    @property
    def over(self) -> bool:
        return self.endings > 0

    @property
    def answers(self) -> list[Any]:
        return [answer for frame in self.frames for answer in frame]


@dataclass
class Plane:
    server: RequestServer
    client: RequestClient
    others: list[RequestClient] = field(default_factory=list)

    def send(self, request: Any, sink: Sink, name: str = NAME, **options: Any) -> Stream:
        return self.client.send(self.server.address, name, request, sink, request_id="r1", **options)

    async def ask(self, request: Any, name: str = NAME, **options: Any) -> Sink:
        sink = Sink()
        self.send(request, sink, name, **options)
        await until(lambda: sink.over)
        return sink

    def iterate(self, request: Any, context: Context | None = None, name: str = NAME) -> AsyncIterator[Any]:
        given = context or Context("r1")
        return iterate(
            lambda sink: self.client.send(self.server.address, name, request, sink, request_id=given.id), given
        )


@pytest.fixture(params=["tcp"])
async def plane(request: pytest.FixtureRequest) -> AsyncIterator[Plane]:
    made = Plane(await TcpRequestServer.listen(TOKEN), TcpRequestClient(TOKEN))
    yield made
    await made.client.close()
    await made.server.close()


async def count(request: int, context: Context) -> AsyncIterator[int]:
    for number in range(request):
        yield number


class Endless:
    """A handler that streams until it is stopped, and remembers how it ended."""

    def __init__(self, pause_s: float = 0.001) -> None:
        self.pause_s = pause_s
        self.stopped = False
        self.closed = False
        self.sent = 0
        self.contexts: list[Context] = []

    async def __call__(self, request: Any, context: Context) -> AsyncIterator[int]:
        self.contexts.append(context)
        try:
            while not context.stopped:
                self.sent += 1
                yield self.sent
                await asyncio.sleep(self.pause_s)
            self.stopped = True
        finally:
            self.closed = True


async def test_answers_come_in_order_and_end(plane: Plane) -> None:
    plane.server.add(NAME, count)
    sink = await plane.ask(100)
    assert sink.answers == list(range(100))
    assert sink.ended and sink.endings == 1


async def test_an_empty_stream_ends(plane: Plane) -> None:
    plane.server.add(NAME, count)
    sink = await plane.ask(0)
    assert sink.ended and sink.frames == []


async def test_typed_requests_and_answers(plane: Plane) -> None:
    class Question(msgspec.Struct):
        words: list[str]

    class Answer(msgspec.Struct, array_like=True):
        word: str
        length: int = 0

    async def handler(request: Question, context: Context) -> AsyncIterator[Answer]:
        assert context.id == "r1"
        for word in request.words:
            yield Answer(word, len(word))

    plane.server.add(NAME, handler, Question)
    sink = await plane.ask(Question(["a", "bc"]), response_type=Answer)
    assert sink.answers == [Answer("a", 1), Answer("bc", 2)]


async def test_what_a_loop_pass_yields_comes_in_one_frame(plane: Plane) -> None:
    step = asyncio.Event()

    async def handler(request: int, context: Context) -> AsyncIterator[int]:
        yield request
        await step.wait()
        yield request + 1
        yield request + 2

    plane.server.add(NAME, handler)
    sinks = [Sink() for _ in range(3)]
    for number, sink in enumerate(sinks):
        plane.send(number * 10, sink)
    await until(lambda: all(sink.frames for sink in sinks))
    step.set()
    await until(lambda: all(sink.over for sink in sinks))
    assert [sink.frames for sink in sinks] == [[[n], [n + 1, n + 2]] for n in (0, 10, 20)]


async def test_an_answer_is_taken_as_it_was_when_yielded(plane: Plane) -> None:
    async def handler(request: None, context: Context) -> AsyncIterator[list[int]]:
        growing: list[int] = []
        for number in range(3):
            growing.append(number)
            yield growing

    plane.server.add(NAME, handler)
    assert (await plane.ask(None)).answers == [[0], [0, 1], [0, 1, 2]]


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("temperature must be at least 0", "temperature"),
        EngineFailed("out of memory"),
        Overloaded("too much"),
        ModelMissing("no such model"),
        Draining("going"),
    ],
    ids=lambda error: error.code,
)
async def test_errors_keep_their_kind_and_message(plane: Plane, error: DynamoError) -> None:
    async def handler(request: Any, context: Context) -> AsyncIterator[int]:
        yield 1
        raise error

    plane.server.add(NAME, handler)
    sink = await plane.ask(None)
    assert type(sink.error) is type(error)
    assert str(sink.error) == str(error)
    assert getattr(sink.error, "param", None) == getattr(error, "param", None)
    assert sink.answers == [1] and not sink.ended


async def test_a_bug_in_a_handler_is_one_line_to_the_caller(plane: Plane, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: Any, context: Context) -> AsyncIterator[int]:
        yield 1
        raise ValueError("first line\nsecond line")

    plane.server.add(NAME, handler)
    sink = await plane.ask(None)
    assert isinstance(sink.error, EngineFailed)
    assert str(sink.error) == "ValueError: first line"
    assert "second line" in caplog.text


async def test_an_answer_that_cannot_be_sent_fails_its_own_stream_only(plane: Plane) -> None:
    async def handler(request: bool, context: Context) -> AsyncIterator[Any]:
        yield 1
        yield object() if request else 2

    plane.server.add(NAME, handler)
    broken, fine = await asyncio.gather(plane.ask(True), plane.ask(False))
    assert isinstance(broken.error, EngineFailed) and broken.answers == [1]
    assert fine.answers == [1, 2] and fine.ended


async def test_an_answer_of_another_type_fails_its_own_stream_only(plane: Plane) -> None:
    plane.server.add(NAME, count)
    wrong, right = await asyncio.gather(plane.ask(3, response_type=str), plane.ask(3, response_type=int))
    assert isinstance(wrong.error, EngineFailed) and wrong.endings == 1
    assert right.answers == [0, 1, 2]
    await until(lambda: plane.server.inflight() == 0)


async def test_a_request_of_another_type_is_invalid(plane: Plane) -> None:
    plane.server.add(NAME, count, int)
    sink = await plane.ask("three")
    assert isinstance(sink.error, InvalidRequest) and "int" in str(sink.error)


async def test_an_unknown_endpoint(plane: Plane) -> None:
    plane.server.add(NAME, count)
    assert isinstance((await plane.ask(1, "dynamo.backend.other")).error, NoInstances)
    plane.server.remove(NAME)
    assert isinstance((await plane.ask(1)).error, NoInstances)


async def test_a_sink_that_fails_harms_no_other(plane: Plane, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Sink):
        def on_frame(self, deltas: list[Any]) -> None:
            raise RuntimeError("broken reader")

    handler = Endless()
    plane.server.add(NAME, handler)
    plane.server.add("dynamo.backend.count", count)
    broken = Broken()
    plane.send(None, broken)
    fine = await plane.ask(1000, "dynamo.backend.count")
    assert len(fine.answers) == 1000
    await until(lambda: handler.closed)
    assert isinstance(broken.error, EngineFailed) and broken.endings == 1
    assert "broken reader" in caplog.text


async def test_cancel_stops_the_context_and_silences_the_sink(plane: Plane) -> None:
    handler = Endless()
    plane.server.add(NAME, handler)
    sink = Sink()
    stream = plane.send(None, sink)
    await until(lambda: sink.frames)
    stream.cancel()
    stream.cancel()
    frames = len(sink.frames)
    await until(lambda: handler.stopped)
    await until(lambda: plane.server.inflight() == 0)
    assert len(sink.frames) == frames and not sink.over


async def test_cancel_reaches_a_handler_that_waits(plane: Plane) -> None:
    stopped = asyncio.Event()

    async def handler(request: Any, context: Context) -> AsyncIterator[int]:
        await context.wait_stopped()
        stopped.set()
        return
        yield 0

    plane.server.add(NAME, handler)
    stream = plane.send(None, Sink())
    await until(lambda: plane.server.inflight() == 1)
    stream.cancel()
    await asyncio.wait_for(stopped.wait(), 0.5)


async def test_a_handler_that_ignores_the_cancel_is_closed(plane: Plane) -> None:
    closed: list[str] = []

    async def waits(request: Any, context: Context) -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.append("waits")

    async def spins(request: Any, context: Context) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append("spins")

    for name, handler in (("a.b.waits", waits), ("a.b.spins", spins)):
        plane.server.add(name, handler)
        sink = Sink()
        stream = plane.send(None, sink, name)
        await until(lambda sink=sink: sink.frames)
        stream.cancel()
    await until(lambda: sorted(closed) == ["spins", "waits"])
    await until(lambda: plane.server.inflight() == 0)


async def test_a_lost_caller_stops_its_handlers(plane: Plane) -> None:
    handler = Endless()
    plane.server.add(NAME, handler)
    sink = Sink()
    plane.send(None, sink)
    await until(lambda: sink.frames)
    await plane.client.close()
    await until(lambda: handler.stopped)
    assert isinstance(sink.error, PlaneError)


async def test_a_paused_reader_holds_its_handler_and_no_other(plane: Plane) -> None:
    handler = Endless(0)
    plane.server.add(NAME, handler)
    plane.server.add("dynamo.backend.count", count)
    slow = Sink()
    stream = plane.send(None, slow)
    stream.pause()
    await until(lambda: slow.frames)
    before = 0
    while handler.sent != before:
        before = handler.sent
        assert len((await plane.ask(5000, "dynamo.backend.count")).answers) == 5000
    assert before < 2000
    stream.resume()
    await until(lambda: handler.sent > before + 2000)
    stream.cancel()


async def test_a_slow_reader_keeps_memory_flat(plane: Plane) -> None:
    async def handler(request: Any, context: Context) -> AsyncIterator[dict[str, Any]]:
        for number in range(10_000):
            yield {"token_ids": [number], "text": "x" * 200}

    plane.server.add(NAME, handler)
    seen = 0
    tracemalloc.start()
    try:
        async for answer in plane.iterate(None):
            assert answer["token_ids"] == [seen]
            seen += 1
            if seen % 10 == 0:
                await asyncio.sleep(0)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    assert seen == 10_000


async def test_a_very_long_answer_does_not_run_out_of_window(plane: Plane) -> None:
    plane.server.add(NAME, count)
    assert len((await plane.ask(40_000)).answers) == 40_000


async def test_large_answers_respect_the_window(plane: Plane) -> None:
    sent = 0

    async def handler(request: Any, context: Context) -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield bytes(1 << 20)

    plane.server.add(NAME, handler)
    sink = Sink()
    stream = plane.send(None, sink)
    stream.pause()
    await until(lambda: sink.frames)
    await asyncio.sleep(0.05)
    assert sent == 1
    stream.resume()
    await until(lambda: sink.over)
    assert sum(map(len, sink.answers)) == 100 << 20


async def test_a_busy_stream_does_not_starve_others(plane: Plane) -> None:
    async def flood(request: Any, context: Context) -> AsyncIterator[int]:
        while not context.stopped:
            yield 0

    plane.server.add("a.b.flood", flood)
    plane.server.add(NAME, count)
    sinks = [Sink() for _ in range(4)]
    streams = [plane.send(None, sink, "a.b.flood") for sink in sinks]
    await until(lambda: all(sink.frames for sink in sinks))
    for _ in range(10):
        await asyncio.wait_for(plane.ask(1), 1)
    for stream in streams:
        stream.cancel()
    shares = [len(sink.answers) for sink in sinks]
    assert min(shares) > max(shares) / 4


async def test_a_thousand_streams_at_once(plane: Plane) -> None:
    async def handler(request: int, context: Context) -> AsyncIterator[int]:
        for _ in range(10):
            await asyncio.sleep(0)
            yield request

    plane.server.add(NAME, handler)
    sinks = [Sink() for _ in range(1000)]
    for number, sink in enumerate(sinks):
        plane.send(number, sink)
    await until(lambda: all(sink.over for sink in sinks), 20)
    assert all(sink.answers == [number] * 10 for number, sink in enumerate(sinks))
    await until(lambda: plane.server.inflight() == 0)


async def test_numbers_too_large_for_a_frame_fail_their_own_stream_only(plane: Plane) -> None:
    async def handler(request: Any, context: Context) -> AsyncIterator[Any]:
        yield 1

    plane.server.add(NAME, handler)
    request, fine = await asyncio.gather(plane.ask({"n": 10**30}), plane.ask("small"))
    assert isinstance(request.error, InvalidRequest) and "more than 64 bits" in str(request.error)
    assert fine.ended and fine.answers == [1]


async def test_too_large_frames_fail_their_own_stream_only(plane: Plane) -> None:
    async def handler(request: Any, context: Context) -> AsyncIterator[Any]:
        yield 1
        if request == "large":
            yield bytes(33 << 20)

    plane.server.add(NAME, handler)
    answer, request, fine = await asyncio.gather(plane.ask("large"), plane.ask(bytes(33 << 20)), plane.ask("small"))
    assert isinstance(answer.error, EngineFailed) and "over the limit" in str(answer.error)
    assert isinstance(request.error, InvalidRequest) and "too large" in str(request.error)
    assert fine.ended and fine.answers == [1]


async def test_a_large_answer_arrives_whole(plane: Plane) -> None:
    async def handler(request: bytes, context: Context) -> AsyncIterator[bytes]:
        yield request
        yield request

    plane.server.add(NAME, handler, bytes)
    body = bytes(range(256)) * (4 << 12)
    assert (await plane.ask(body, response_type=bytes)).answers == [body, body]


async def test_nobody_listens(plane: Plane) -> None:
    lost: list[tuple[str, str, str]] = []
    plane.client.on_peer(lambda *what: lost.append(what))
    sink = Sink()
    plane.client.send("tcp://127.0.0.1:1", NAME, None, sink, request_id="")
    await until(lambda: sink.over)
    assert isinstance(sink.error, CannotConnect)
    assert lost == [("tcp://127.0.0.1:1", "", "lost")]
    assert not await plane.client.probe("tcp://127.0.0.1:1")
    assert await plane.client.probe(plane.server.address)


@pytest.mark.parametrize("address", ["", "nonsense", "tcp://", "tcp://host:99999", "http://127.0.0.1:80"])
async def test_an_address_that_is_none(plane: Plane, address: str) -> None:
    sink = Sink()
    plane.client.send(address, NAME, None, sink, request_id="")
    await until(lambda: sink.over)
    assert isinstance(sink.error, CannotConnect)


async def test_a_server_that_closes_cuts_its_streams_for_others_to_take(plane: Plane) -> None:
    plane.server.add(NAME, Endless())
    sink = Sink()
    plane.send(None, sink)
    await until(lambda: sink.frames)
    await plane.server.close()
    await until(lambda: sink.over)
    assert isinstance(sink.error, StreamIncomplete)


async def test_drain_lets_running_requests_finish_and_refuses_new_ones(plane: Plane) -> None:
    go_on = asyncio.Event()

    async def handler(request: Any, context: Context) -> AsyncIterator[int]:
        yield 1
        await go_on.wait()
        yield 2

    states: list[tuple[str, str, str]] = []
    plane.client.on_peer(lambda *what: states.append(what))
    plane.server.add(NAME, handler)
    sink = Sink()
    plane.send(None, sink)
    await until(lambda: sink.frames)
    draining = asyncio.create_task(plane.server.drain(5))
    await until(lambda: states == [(plane.server.address, "", "draining")])
    assert isinstance((await plane.ask(None)).error, Draining)
    assert not draining.done()
    go_on.set()
    await draining
    await until(lambda: sink.over)
    assert sink.answers == [1, 2] and sink.ended


async def test_drain_cuts_what_does_not_finish(plane: Plane) -> None:
    handler = Endless()
    plane.server.add(NAME, handler)
    sink = Sink()
    plane.send(None, sink)
    await until(lambda: sink.frames)
    await plane.server.drain(0.05)
    await until(lambda: sink.over)
    assert isinstance(sink.error, StreamIncomplete)
    assert handler.stopped and plane.server.inflight() == 0


async def test_drain_of_one_endpoint_leaves_the_others(plane: Plane) -> None:
    plane.server.add(NAME, count)
    plane.server.add("dynamo.backend.other", count)
    await plane.server.drain(1, NAME)
    assert isinstance((await plane.ask(1)).error, Draining)
    assert (await plane.ask(1, "dynamo.backend.other")).ended


async def test_iterating(plane: Plane) -> None:
    plane.server.add(NAME, count)
    assert [answer async for answer in plane.iterate(500)] == list(range(500))


async def test_stopping_the_context_ends_the_iterator(plane: Plane) -> None:
    from dynamo_cli.errors import Cancelled

    handler = Endless()
    plane.server.add(NAME, handler)
    context = Context("r1")
    with pytest.raises(Cancelled):
        async for _ in plane.iterate(None, context):
            context.stop()
    await until(lambda: handler.stopped)
    with pytest.raises(Cancelled):
        async for _ in plane.iterate(None, context):
            pass


async def test_closing_the_iterator_cancels(plane: Plane) -> None:
    handler = Endless()
    plane.server.add(NAME, handler)
    answers = plane.iterate(None)
    assert await answers.__anext__() == 1
    await answers.aclose()  # type: ignore[attr-defined]
    await until(lambda: handler.stopped)
    assert handler.contexts[0].id == "r1"


async def test_the_trail_of_a_request_goes_on_in_the_handler(plane: Plane) -> None:
    async def tell(request: Any, context: Context) -> AsyncIterator[Any]:
        await asyncio.sleep(0)
        assert current_context.get() is context
        yield None if context.trail is None else [*astuple(context.trail)]

    plane.server.add(NAME, tell)
    trail = begin_trail("asked", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", b"a=1")
    (told,) = (await plane.ask(None, trail=trail)).answers
    assert told == ["asked", trail.trace_id, told[2], False, "a=1", trail.span_id]
    assert (await plane.ask(None)).answers == [None]


async def test_a_worker_tells_its_load_with_each_answer_to_a_ping(plane: Plane) -> None:
    load, heard = [b""], []
    plane.server.report(lambda: load[0])
    stop = plane.client.on_load(lambda address, encoded: heard.append((address, encoded)))
    plane.client.connect(plane.server.address)
    plane.client.connect(plane.server.address)
    load[0] = b"busy"
    await until(lambda: heard)
    assert set(heard) == {(plane.server.address, b"busy")}
    load[0] = b"idle"
    await until(lambda: heard[-1] == (plane.server.address, b"idle"))
    stop()

"""A request outlives its workers: whatever is lost wherever, the reader gets the same answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import (
    CannotConnect,
    Disconnected,
    Draining,
    DynamoError,
    EngineDied,
    EngineFailed,
    InvalidRequest,
    Overloaded,
    ResponseTimeout,
    StreamIncomplete,
)
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage, StopConditions
from dynamo_cli.protocol.instance import EndpointId, Instance, ModelCard, ModelIdentity
from dynamo_cli.router.policies import make_policy
from dynamo_cli.routing.dispatch import Dispatcher
from dynamo_cli.routing.flight import Flight
from dynamo_cli.routing.migration import MigrationOptions
from dynamo_cli.routing.placing import PolicyPlacer
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.runtime.requests.base import Stream, StreamSink

PROMPT = [11, 12, 13]
LOSSES: list[Callable[[], DynamoError]] = [
    lambda: Disconnected("lost"),
    lambda: StreamIncomplete("cut"),
    lambda: ResponseTimeout("no pong"),
    lambda: EngineDied("gone"),
]


class Handle(Stream):
    """A stream of the scripted plane. Its worker says token n of a sequence that only depends on its position."""

    def __init__(self, instance: int, request: EngineRequest, sink: StreamSink) -> None:
        self.instance, self.request, self.sink = instance, request, sink
        self.cancelled = False
        self.said = 0

    def cancel(self) -> None:
        self.cancelled = True

    def pause(self) -> None: ...
    def resume(self) -> None: ...

    @property
    def left(self) -> int:
        return (self.request.stop.max_tokens or 0) - self.said

    def say(self, counts: list[int]) -> None:
        """One frame with a delta of so many tokens each; the last token comes with its finish reason."""
        deltas = [delta for count in counts for delta in self._next(min(count, self.left))]
        if deltas:
            self.sink.on_frame(deltas)

    def _next(self, count: int) -> list[Delta]:
        if not count:
            return []
        at = len(self.request.token_ids) + self.said
        self.said += count
        delta = Delta(list(range(at, at + count)))
        if not self.left:
            delta.finish_reason = "length"
            delta.usage = EngineUsage(len(self.request.token_ids), self.said, 2)
        return [delta]

    def finish(self) -> None:
        self.say([self.left])
        self.sink.on_end()


class Plane:
    """A model whose workers are all reached through this one client."""

    def __init__(self, workers: int = 4, options: MigrationOptions | None = None, text: bool = False) -> None:
        self.model = RoutedModel("m")
        self.model.identity = ModelIdentity(input="text" if text else "tokens")
        self.model.candidates = list(range(1, workers + 1))
        self.model.clients = dict.fromkeys(self.model.candidates, self)  # type: ignore[arg-type]
        self.dispatcher = Dispatcher(PolicyPlacer(self.model, make_policy("round-robin", random.Random(0))), options)
        self.streams: list[Handle] = []

    def send(self, request: Any, instance: int, sink: StreamSink, request_id: str = "", trail: Any = None) -> Handle:
        self.streams.append(Handle(instance, request, sink))
        return self.streams[-1]

    def report_down(self, instance: int) -> None: ...

    @property
    def now(self) -> Handle:
        return self.streams[-1]


class Heard:
    def __init__(self, forgets: bool = False) -> None:
        self.deltas: list[Delta] = []
        self.endings: list[DynamoError | None] = []
        self._forgets = forgets

    def on_frame(self, deltas: list[Any]) -> None:
        assert not self.endings
        assert deltas
        self.deltas += deltas

    def on_end(self) -> None:
        self.endings.append(None)

    def on_error(self, error: DynamoError) -> None:
        self.endings.append(error)

    def forget(self) -> bool:
        if self._forgets:
            self.deltas = []
        return self._forgets

    @property
    def ids(self) -> list[int]:
        return [token for delta in self.deltas for token in delta.token_ids]

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)


def request_of(max_tokens: int | None, **stop: Any) -> EngineRequest:
    return EngineRequest("m", token_ids=list(PROMPT), stop=StopConditions(max_tokens=max_tokens, **stop))


def begin(plane: Plane, request: EngineRequest, heard: Heard, instance: int | None = None) -> Flight:
    return plane.dispatcher.send(request, heard, request_id="r", instance_id=instance)


frames = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), max_size=6)


@given(
    max_tokens=st.integers(1, 40),
    shares=st.lists(st.tuples(frames, st.sampled_from(LOSSES)), max_size=3),
    last=frames,
    end_is_lost=st.booleans(),
)
def test_any_loss_anywhere_gives_the_same_answer(
    max_tokens: int,
    shares: list[tuple[list[list[int]], Callable[[], DynamoError]]],
    last: list[list[int]],
    end_is_lost: bool,
) -> None:
    plane, heard = Plane(), Heard()
    begin(plane, request_of(max_tokens), heard)
    for said, loss in shares:
        if heard.endings:
            break
        stream = plane.now
        for frame in said:
            stream.say(frame)
        stream.sink.on_error(loss())
    if not heard.endings:
        for frame in last:
            plane.now.say(frame)
        plane.now.say([plane.now.left])
        plane.now.sink.on_error(Disconnected("lost")) if end_is_lost else plane.now.sink.on_end()
    assert heard.endings == [None]
    assert heard.ids == list(range(len(PROMPT), len(PROMPT) + max_tokens))
    final = heard.deltas[-1]
    assert (final.finish_reason, [delta.finish_reason for delta in heard.deltas[:-1]]) == (
        "length",
        [None] * (len(heard.deltas) - 1),
    )
    assert final.usage is not None
    assert (final.usage.prompt_tokens, final.usage.completion_tokens) == (len(PROMPT), max_tokens)
    assert plane.dispatcher.inflight == {}
    assert len({stream.instance for stream in plane.streams}) == len(plane.streams), "a lost worker was asked again"
    assert plane.dispatcher.migrations.new + plane.dispatcher.migrations.ongoing == len(plane.streams) - 1


def test_the_next_worker_gets_what_there_is_and_less_to_do() -> None:
    plane, heard = Plane(), Heard()
    request = request_of(20, min_tokens=8, stop_token_ids=(2,))
    begin(plane, request, heard)
    plane.now.say([5, 4])
    plane.now.sink.on_error(Disconnected("lost"))
    second = plane.now.request
    assert second.token_ids == [*PROMPT, *range(3, 12)]
    assert second.generated == 9
    assert (second.stop.max_tokens, second.stop.min_tokens, second.stop.stop_token_ids) == (11, 0, (2,))
    assert (request.token_ids, request.stop.max_tokens, request.generated) == (PROMPT, 20, 0), "the original changed"
    plane.now.say([2])
    plane.now.sink.on_error(Disconnected("lost"))
    assert (plane.now.request.generated, plane.now.request.stop.max_tokens) == (11, 9)
    plane.now.finish()
    assert heard.deltas[-1].usage == EngineUsage(3, 20, 2)


def test_a_stream_with_all_its_tokens_needs_no_other_worker() -> None:
    plane, heard = Plane(), Heard()
    begin(plane, request_of(3), heard)
    plane.now.sink.on_frame([Delta([3, 4, 5])])
    plane.now.sink.on_error(Disconnected("lost"))
    assert len(plane.streams) == 1
    assert (heard.ids, heard.endings) == ([3, 4, 5], [None])
    assert heard.deltas[-1] == Delta(finish_reason="length", usage=EngineUsage(3, 3))


@pytest.mark.parametrize("tokens", [[], [7]])
def test_a_worker_that_gives_up_is_left(tokens: list[int]) -> None:
    plane, heard = Plane(), Heard()
    begin(plane, request_of(3), heard)
    first = plane.now
    first.sink.on_frame([Delta([6]), Delta(list(tokens), "cancelled", usage=EngineUsage(3, 1))])
    assert first.cancelled
    assert plane.now.request.token_ids == [*PROMPT, 6, *tokens]
    plane.now.finish()
    assert heard.ids[: 1 + len(tokens)] == [6, *tokens]
    assert (len(heard.ids), heard.endings) == (3, [None])


def test_a_stream_that_ends_without_a_reason_is_incomplete() -> None:
    plane, heard = Plane(), Heard()
    begin(plane, request_of(4), heard)
    plane.now.say([2])
    plane.now.sink.on_end()
    plane.now.finish()
    assert (heard.ids, heard.endings) == ([3, 4, 5, 6], [None])


def test_only_losses_count_against_the_limit() -> None:
    plane, heard = Plane(workers=9, options=MigrationOptions(limit=1)), Heard()
    begin(plane, request_of(9), heard)
    for refusal in (Overloaded("full"), Draining("bye"), CannotConnect("no")):
        plane.now.sink.on_error(refusal)
    plane.now.say([1])
    plane.now.sink.on_error(Disconnected("lost"))
    plane.now.sink.on_error(Overloaded("full"))
    plane.now.say([1])
    assert heard.endings == []
    final = Disconnected("lost again")
    plane.now.sink.on_error(final)
    assert heard.endings == [final]
    assert plane.dispatcher.inflight == {}
    assert (plane.dispatcher.migrations.new, plane.dispatcher.migrations.ongoing) == (3, 2)


def test_the_time_without_a_worker_is_counted_by_kind_and_outcome() -> None:
    def took(plane: Plane) -> dict[tuple[str, str], int]:
        return {key: sum(histogram.counts) for key, histogram in plane.dispatcher.migrations.took.items()}

    plane = Plane(options=MigrationOptions(limit=3))
    begin(plane, request_of(9), Heard())
    plane.now.sink.on_error(CannotConnect("no"))
    plane.now.sink.on_error(Disconnected("lost"))
    assert took(plane) == {}
    plane.now.say([2])
    assert took(plane) == {("new_request", "recovered"): 1}
    plane.now.sink.on_error(Disconnected("lost"))
    plane.now.sink.on_error(Disconnected("lost"))
    assert took(plane) == {("new_request", "recovered"): 1, ("ongoing_request", "failed"): 1}
    cancelled = Plane()
    flight = begin(cancelled, request_of(9), Heard())
    cancelled.now.say([2])
    cancelled.now.sink.on_error(Disconnected("lost"))
    flight.cancel()
    assert took(cancelled) == {("ongoing_request", "cancelled"): 1}
    own = Plane()
    begin(own, request_of(9), Heard())
    own.now.sink.on_error(EngineFailed("broken"))
    assert took(own) == {}


@pytest.mark.parametrize("said", [[], [2]])
def test_limit_0_never_moves(said: list[int]) -> None:
    plane, heard = Plane(options=MigrationOptions(limit=0)), Heard()
    begin(plane, request_of(9), heard)
    plane.now.say(said)
    plane.now.sink.on_error(Disconnected("lost"))
    assert (len(plane.streams), [type(error) for error in heard.endings]) == (1, [Disconnected])


def test_what_is_too_long_stays_and_is_counted() -> None:
    plane, heard = Plane(options=MigrationOptions(max_seq_len=5)), Heard()
    begin(plane, request_of(9), heard)
    plane.now.say([2])
    plane.now.sink.on_error(Disconnected("lost"))
    assert heard.endings == []
    plane.now.say([1])
    plane.now.sink.on_error(Disconnected("lost"))
    assert [type(error) for error in heard.endings] == [Disconnected]
    assert plane.dispatcher.migrations.too_long == 1


@pytest.mark.parametrize("error", [EngineFailed("broken"), InvalidRequest("bad")])
def test_a_requests_own_errors_do_not_move_it(error: DynamoError) -> None:
    plane, heard = Plane(), Heard()
    begin(plane, request_of(9), heard)
    plane.now.say([2])
    plane.now.sink.on_error(error)
    assert (len(plane.streams), heard.endings, plane.dispatcher.inflight) == (1, [error], {})


def test_a_named_instance_is_not_left() -> None:
    plane, heard = Plane(), Heard()
    begin(plane, request_of(9), heard, instance=2)
    plane.now.say([2])
    plane.now.sink.on_error(Disconnected("lost"))
    assert (len(plane.streams), [type(error) for error in heard.endings]) == (1, [Disconnected])


def test_the_last_worker_lost_is_an_error() -> None:
    plane, heard = Plane(workers=2), Heard()
    begin(plane, request_of(9), heard)
    for _ in range(2):
        plane.now.say([2])
        plane.now.sink.on_error(Disconnected("lost"))
    assert [type(error) for error in heard.endings] == [Disconnected]
    assert plane.dispatcher.inflight == {}


def test_a_worker_that_has_left_discovery_is_left_too() -> None:
    plane, heard = Plane(), Heard()
    begin(plane, request_of(4), heard)
    plane.now.say([2])
    del plane.model.clients[plane.now.instance]
    plane.model.candidates.remove(plane.now.instance)
    plane.now.sink.on_error(StreamIncomplete("the worker is shutting down"))
    plane.now.finish()
    assert (heard.ids, heard.endings) == ([3, 4, 5, 6], [None])


def test_an_answer_does_not_move_to_workers_that_read_tokens_otherwise() -> None:
    plane, heard = Plane(), Heard()
    begin(plane, request_of(9), heard)
    plane.now.say([2])
    plane.model.identity = ModelIdentity("another tokenizer")
    plane.now.sink.on_error(Disconnected("lost"))
    assert (len(plane.streams), [type(error) for error in heard.endings]) == (1, [Disconnected])


def test_an_answer_moves_to_newer_workers_that_read_the_same() -> None:
    plane, heard = Plane(), Heard()
    begin(plane, request_of(4), heard)
    plane.now.say([2])
    assert plane.model.identity
    plane.model.identity = ModelIdentity(kv_block_size=99)
    plane.now.sink.on_error(Disconnected("lost"))
    plane.now.finish()
    assert heard.endings == [None]


def test_a_worker_with_a_shorter_context_is_passed_over() -> None:
    plane, heard = Plane(workers=3), Heard()
    begin(plane, request_of(9), heard)
    plane.now.say([2])
    short, long = (worker for worker in plane.model.candidates if worker != plane.now.instance)
    for worker, length in ((short, 11), (long, 12)):
        instance = Instance(EndpointId("dynamo", "backend", "generate"), worker, "tcp://127.0.0.1:1")
        plane.model.cards[worker] = ModelCard("m", ModelIdentity(), instance, context_length=length)
    plane.now.sink.on_error(Disconnected("lost"))
    assert plane.now.instance == long
    plane.now.sink.on_error(Disconnected("lost"))
    assert [type(error) for error in heard.endings] == [Disconnected]


def test_a_cancelled_flight_does_not_move() -> None:
    plane, heard = Plane(), Heard()
    flight = begin(plane, request_of(9), heard)
    plane.now.say([2])
    flight.cancel()
    plane.now.sink.on_error(Disconnected("lost"))
    assert (len(plane.streams), heard.endings) == (1, [])


class GuidedRequest(EngineRequest):
    guided: Any = None


@pytest.mark.parametrize("forgets", [False, True])
def test_a_guided_answer_begins_anew_or_not_at_all(forgets: bool) -> None:
    plane, heard = Plane(), Heard(forgets)
    request = GuidedRequest("m", token_ids=list(PROMPT), stop=StopConditions(max_tokens=4), guided={"regex": "a+"})
    begin(plane, request, heard)
    plane.now.say([2])
    plane.now.sink.on_error(Disconnected("lost"))
    if not forgets:
        assert [type(error) for error in heard.endings] == [Disconnected]
        return
    assert plane.now.request == request
    plane.now.finish()
    assert (heard.ids, heard.endings, heard.deltas[-1].usage) == ([3, 4, 5, 6], [None], EngineUsage(3, 4, 2))


def text_request() -> EngineRequest:
    return EngineRequest("m", prompt="say it", stop=StopConditions(max_tokens=9))


def test_an_answer_in_text_begins_anew_only_when_nothing_of_it_was_used() -> None:
    for forgets in (True, False):
        plane, heard = Plane(text=True), Heard(forgets)
        begin(plane, text_request(), heard)
        plane.now.sink.on_frame([Delta(text="one ")])
        plane.now.sink.on_error(Disconnected("lost"))
        if not forgets:
            assert [type(error) for error in heard.endings] == [Disconnected]
            continue
        assert plane.now.request == text_request()
        plane.now.sink.on_frame([Delta(text="one two"), Delta(finish_reason="stop", usage=EngineUsage(2, 2))])
        plane.now.sink.on_end()
        assert (heard.text, heard.endings, heard.deltas[-1].usage) == ("one two", [None], EngineUsage(2, 2))
        assert (plane.dispatcher.migrations.new, plane.dispatcher.migrations.ongoing) == (1, 0)


def test_a_text_engine_that_resumes_is_told_how_far_it_was() -> None:
    plane, heard = Plane(text=True), Heard()
    plane.model.identity = ModelIdentity(input="text", resumes=True)
    begin(plane, text_request(), heard)
    plane.now.sink.on_frame([Delta(text="one "), Delta(text="two ")])
    plane.now.sink.on_error(Disconnected("lost"))
    assert (plane.now.request.generated, plane.now.request.stop.max_tokens) == (2, 7)
    plane.now.sink.on_frame([Delta(text="three"), Delta(finish_reason="stop", usage=EngineUsage(2, 1))])
    plane.now.sink.on_end()
    assert (heard.text, heard.endings, heard.deltas[-1].usage) == ("one two three", [None], EngineUsage(2, 3))


async def test_a_silent_stream_moves_and_its_worker_is_told_to_stop() -> None:
    plane, heard = Plane(options=MigrationOptions(silence_s=0.08)), Heard()
    flight = begin(plane, request_of(9), heard)
    first = plane.now
    for _ in range(10):
        first.say([])
        flight.on_frame([Delta()])
        await asyncio.sleep(0.015)
    assert plane.now is first, "frames came, but it was taken for silent"
    flight.pause()
    await asyncio.sleep(0.2)
    assert plane.now is first, "a paused stream is not silent"
    flight.resume()
    await asyncio.sleep(0.15)
    assert first.cancelled
    assert plane.now is not first
    flight.cancel()
    assert heard.endings == []

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import (
    Disconnected,
    Draining,
    DynamoError,
    EngineFailed,
    InvalidRequest,
    NoInstances,
    Overloaded,
    StreamIncomplete,
    Unauthorized,
)
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.load import BusyThresholds
from dynamo_cli.router.policies import make_policy
from dynamo_cli.routing.dispatch import Dispatcher
from dynamo_cli.routing.placing import PolicyPlacer
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.routing.thresholds import Thresholds
from dynamo_cli.runtime.requests.base import Stream, StreamSink


class FakeStream(Stream):
    def __init__(self, instance: int, sink: StreamSink) -> None:
        self.instance = instance
        self.sink = sink
        self.calls: list[str] = []

    def cancel(self) -> None:
        self.calls.append("cancel")

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")


class FakeClient:
    def __init__(self, model: RoutedModel) -> None:
        self.model = model
        self.streams: list[FakeStream] = []
        self.down: list[int] = []
        self.refuses: set[int] = set()

    def send(
        self, request: Any, instance: int, sink: StreamSink, request_id: str = "", trail: Any = None
    ) -> FakeStream:
        if instance in self.refuses:
            raise NoInstances("gone")
        self.streams.append(FakeStream(instance, sink))
        return self.streams[-1]

    def report_down(self, instance: int) -> None:
        self.down.append(instance)
        self.model.candidates = [candidate for candidate in self.model.candidates if candidate != instance]


class Heard:
    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.ended = 0
        self.errors: list[DynamoError] = []

    def on_frame(self, deltas: list[Any]) -> None:
        self.frames += deltas

    def on_end(self) -> None:
        self.ended += 1

    def on_error(self, error: DynamoError) -> None:
        self.errors.append(error)

    def forget(self) -> bool:
        return False


class World:
    def __init__(self, mode: str = "round-robin", workers: int = 3) -> None:
        self.model = RoutedModel("m")
        self.client = FakeClient(self.model)
        self.model.candidates = list(range(1, workers + 1))
        self.model.clients = dict.fromkeys(self.model.candidates, self.client)  # type: ignore[arg-type]
        self.dispatcher = Dispatcher(PolicyPlacer(self.model, make_policy(mode, random.Random(0))))
        self.heard = Heard()

    def send(self, instance_id: int | None = None) -> Any:
        return self.dispatcher.send(EngineRequest("m"), self.heard, request_id="r", instance_id=instance_id)

    @property
    def stream(self) -> FakeStream:
        return self.client.streams[-1]


def test_inflight_is_counted_until_the_end() -> None:
    world = World()
    world.send()
    first = world.stream
    assert world.dispatcher.inflight == {first.instance: 1}
    first.sink.on_frame([Delta([1], "stop")])
    first.sink.on_end()
    assert world.dispatcher.inflight == {}
    assert (len(world.heard.frames), world.heard.ended, world.heard.errors) == (1, 1, [])


@pytest.mark.parametrize(
    ("error", "down"), [(Disconnected("lost"), True), (Unauthorized("who"), True), (Draining("bye"), False)]
)
def test_a_lost_worker_is_replaced_before_the_first_answer(error: DynamoError, down: bool) -> None:
    world = World()
    world.send()
    first = world.stream
    first.sink.on_error(error)
    second = world.stream
    assert second.instance != first.instance
    assert world.client.down == ([first.instance] if down else [])
    assert world.dispatcher.inflight == {second.instance: 1}
    assert (world.dispatcher.migrations.new, world.dispatcher.migrations.ongoing) == (1, 0)
    second.sink.on_frame([Delta([1], "stop")])
    second.sink.on_end()
    assert (world.heard.ended, world.heard.errors) == (1, [])


def test_every_worker_is_tried_once_then_the_error_is_heard() -> None:
    world = World()
    world.send()
    for _ in range(3):
        world.stream.sink.on_error(Disconnected("lost"))
    assert sorted(stream.instance for stream in world.client.streams) == [1, 2, 3]
    assert [type(error) for error in world.heard.errors] == [Disconnected]
    assert world.dispatcher.inflight == {}


def test_the_requests_own_errors_are_not_retried() -> None:
    for error in (EngineFailed("broken"), InvalidRequest("bad")):
        world = World()
        world.send()
        world.stream.sink.on_error(error)
        assert (len(world.client.streams), world.heard.errors) == (1, [error])


def test_a_worker_that_is_gone_at_once_is_skipped() -> None:
    world = World()
    world.client.refuses = {1, 2}
    for _ in range(3):
        world.send()
    assert {stream.instance for stream in world.client.streams} == {3}
    assert world.dispatcher.inflight == {3: 3}
    world.client.refuses = {1, 2, 3}
    with pytest.raises(NoInstances):
        world.send()
    assert world.dispatcher.inflight == {3: 3}


def test_a_named_instance_is_used_and_never_replaced() -> None:
    world = World("direct")
    world.send(2)
    assert world.stream.instance == 2
    world.stream.sink.on_error(Disconnected("lost"))
    assert [type(error) for error in world.heard.errors] == [Disconnected]
    with pytest.raises(NoInstances, match="no worker 63 serves model m"):
        world.send(99)
    with pytest.raises(InvalidRequest, match="name the worker"):
        world.send()


def test_nobody_there_is_one_clear_line() -> None:
    world = World(workers=0)
    with pytest.raises(NoInstances, match="no worker of model m can take the request now"):
        world.send()


def test_a_cancelled_flight_hears_no_more() -> None:
    world = World()
    flight = world.send()
    flight.cancel()
    flight.cancel()
    assert world.stream.calls == ["cancel"]
    world.stream.sink.on_frame([Delta([1])])
    world.stream.sink.on_error(Disconnected("lost"))
    assert (world.heard.frames, world.heard.errors, world.dispatcher.inflight) == ([], [], {})


def test_a_paused_flight_stays_paused_with_the_next_worker() -> None:
    world = World()
    flight = world.send()
    flight.pause()
    world.stream.sink.on_error(Disconnected("lost"))
    assert world.stream.calls == ["pause"]
    flight.resume()
    assert world.stream.calls == ["pause", "resume"]


def test_least_loaded_spreads_what_is_in_flight() -> None:
    world = World("least-loaded")
    for _ in range(9):
        world.send()
    assert world.dispatcher.inflight == {1: 3, 2: 3, 3: 3}


def limited(world: World, **limits: float) -> Dispatcher:
    thresholds = Thresholds(BusyThresholds(**limits))  # type: ignore[arg-type]
    return Dispatcher(PolicyPlacer(world.model, make_policy("round-robin", random.Random(0))), thresholds=thresholds)


def prompt(tokens: int) -> EngineRequest:
    return EngineRequest("m", token_ids=[1] * tokens)


def test_busy_workers_are_avoided_and_when_all_are_new_requests_are_refused() -> None:
    world = World()
    world.dispatcher = limited(world, active_prefill_tokens_threshold=9)
    for _ in range(3):
        world.dispatcher.send(prompt(10), world.heard, request_id="r")
    assert sorted(stream.instance for stream in world.client.streams) == [1, 2, 3]
    with pytest.raises(Overloaded):
        world.dispatcher.send(prompt(1), world.heard, request_id="r")
    world.dispatcher.send(prompt(1), world.heard, request_id="r", accepted=True)
    first = world.client.streams[0]
    first.sink.on_frame([Delta([1])])
    assert world.dispatcher.send(prompt(1), world.heard, request_id="r").instance_id == first.instance


def test_a_request_that_loses_its_worker_goes_to_a_busy_one() -> None:
    world = World(workers=2)
    world.dispatcher = limited(world, active_prefill_tokens_threshold=9)
    for _ in range(2):
        world.dispatcher.send(prompt(10), world.heard, request_id="r")
    first, second = world.client.streams
    first.sink.on_error(Disconnected("lost"))
    assert world.stream.instance == second.instance
    assert world.heard.errors == []
    assert world.model.loads.of(first.instance) == (0, 0)
    assert world.model.loads.of(second.instance) == (0, 20)


def test_a_worker_that_sends_requests_away_is_tried_once_and_then_it_is_overload() -> None:
    world = World(workers=2)
    world.send()
    for _ in range(2):
        world.stream.sink.on_error(Overloaded("full"))
    assert sorted(stream.instance for stream in world.client.streams) == [1, 2]
    assert [type(error) for error in world.heard.errors] == [Overloaded]


steps = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from(["frame", "last", "end", "error", "lost", "cancel"])), max_size=40
)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), steps)
def test_when_all_is_over_nothing_is_counted(prompts: list[int], happened: list[tuple[int, str]]) -> None:
    world = World()
    flights = [world.dispatcher.send(prompt(tokens), Heard(), request_id="r") for tokens in prompts]
    for at, what in happened:
        stream = world.client.streams[at % len(world.client.streams)]
        if what == "frame":
            stream.sink.on_frame([Delta([1])])
        elif what == "last":
            stream.sink.on_frame([Delta([1], "stop")])
        elif what == "end":
            stream.sink.on_end()
        elif what == "cancel":
            flights[at % len(flights)].cancel()
        else:
            stream.sink.on_error(EngineFailed("broken") if what == "error" else StreamIncomplete("lost"))
    for flight in flights:
        flight.cancel()
    assert world.dispatcher.inflight == {}
    assert [world.model.loads.of(worker) for worker in (1, 2, 3)] == [(0, 0)] * 3

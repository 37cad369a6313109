"""A model's prefill and decode workers as a frontend sees them, without processes: each answers when it is told to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from dynamo_cli.disagg.options import DisaggOptions
from dynamo_cli.errors import DynamoError, NoInstances
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage, StopConditions
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.instance import EndpointId, Instance, ModelCard, ModelIdentity, Role
from dynamo_cli.protocol.load import BusyThresholds
from dynamo_cli.routing.dispatch import Dispatcher
from dynamo_cli.routing.flight import Flight
from dynamo_cli.routing.migration import MigrationOptions
from dynamo_cli.routing.modes import Disagg, make_dispatcher
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.routing.thresholds import Thresholds
from dynamo_cli.runtime.requests.base import Stream, StreamSink

PROMPT = list(range(100, 164))
ANSWER = 6
PREFILL, DECODE = (1, 2), (11, 12)


class Leg(Stream):
    """What one worker was asked. Token n of an answer depends on nothing but its position.

    `tells_early`: what it has fetched it tells with the first token, not with the usage alone.
    """

    tells_early = True

    def __init__(self, worker: int, request: EngineRequest, sink: StreamSink) -> None:
        self.worker, self.request, self.sink = worker, request, sink
        self.cancelled = False
        self.over = False
        self.said = 0

    def cancel(self) -> None:
        self.cancelled = True

    def pause(self) -> None: ...
    def resume(self) -> None: ...

    @property
    def live(self) -> bool:
        return not (self.cancelled or self.over)

    def hand_over(self, usage: EngineUsage | None = None) -> None:
        handover = Handover("mock", {"id": f"{self.worker}"})
        self._end_with(Delta([], "length", usage=usage or EngineUsage(64, 1), handover=handover))

    def give_up(self) -> None:
        self._end_with(Delta([], "cancelled"))

    def _end_with(self, last: Delta) -> None:
        """As the request plane does: nothing is heard of a stream that was cancelled meanwhile."""
        self.over = True
        self.sink.on_frame([last])
        if not self.cancelled:
            self.sink.on_end()

    def say(self, count: int = 1) -> None:
        most = self.request.stop.max_tokens or 0
        done = len(self.request.token_ids) - len(PROMPT) + self.said
        count = min(count, most - self.said)
        self.said += count
        finish = "length" if self.said == most else None
        usage = EngineUsage(64, self.said, 0, 64, 640, 0.5) if finish else None
        fetched = (64, 640, 0.5) if done == 0 and self.request.handover is not None and self.tells_early else None
        delta = Delta(list(range(done, done + count)), finish, usage=usage, fetched=fetched)
        if finish:
            self._end_with(delta)
        else:
            self.sink.on_frame([delta])

    def fail(self, error: DynamoError) -> None:
        self.over = True
        self.sink.on_error(error)


class Client:
    def __init__(self, world: World, model: RoutedModel) -> None:
        self.world, self.model = world, model

    def send(self, request: Any, worker: int, sink: StreamSink, request_id: str = "", trail: Any = None) -> Leg:
        if worker in self.world.refusing:
            raise NoInstances("gone")
        leg = Leg(worker, request, sink)
        if request.let_go is not None:
            self.world.let_go.append((worker, request.let_go))
        else:
            self.world.legs.append(leg)
        return leg

    def report_down(self, worker: int) -> None:
        self.model.candidates = [one for one in self.model.candidates if one != worker]


class Heard:
    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.usage: EngineUsage | None = None
        self.ended = 0
        self.errors: list[DynamoError] = []

    def on_frame(self, deltas: list[Any]) -> None:
        for delta in deltas:
            self.tokens += delta.token_ids
            self.usage = delta.usage or self.usage

    def on_end(self) -> None:
        self.ended += 1

    def on_error(self, error: DynamoError) -> None:
        self.errors.append(error)

    def forget(self) -> bool:
        return False


class World:
    def __init__(
        self,
        mode: str = "round-robin",
        options: DisaggOptions = DisaggOptions(),  # noqa: B008
        thresholds: BusyThresholds | None = None,
        decode_role: Role = "decode",
        bootstrap: int = 0,
        migrations: int = 3,
        timeout: bool = False,
    ) -> None:
        self.legs: list[Leg] = []
        self.refusing: set[int] = set()
        self.let_go: list[tuple[int, Handover]] = []
        self.timers: list[Callable[[], None]] = []
        self.model = RoutedModel("m")
        assert self.model.prefill is not None
        self.pool = self.model.prefill
        self.staff(self.model, DECODE, decode_role, 0)
        self.staff(self.pool, PREFILL, "prefill", bootstrap)
        self.dispatcher: Dispatcher = make_dispatcher(
            self.model,
            mode,
            MigrationOptions(migrations),
            Thresholds(thresholds) if thresholds else None,
            disagg=Disagg(options if timeout else dataclasses.replace(options, prefill_timeout_s=0)),
        )
        assert self.dispatcher.remote is not None
        self.remote = self.dispatcher.remote
        self.remote.later = lambda seconds, do: self.timers.append(do)
        self.heard = Heard()

    def staff(self, model: RoutedModel, workers: tuple[int, ...], role: Role, bootstrap: int) -> None:
        model.identity = ModelIdentity(kv_block_size=16)
        endpoint = EndpointId("dynamo", "backend", "generate")
        for worker in workers:
            instance = Instance(endpoint, worker, "", service=f"{role}-{worker}")
            about = {"total_kv_blocks": 100, "max_num_batched_tokens": 1000}
            place = {"bootstrap_host": "h", "bootstrap_port": bootstrap} if bootstrap else {}
            model.cards[worker] = ModelCard("m", model.identity, instance, role, "sglang", **about, **place)  # type: ignore[arg-type]
        model.candidates = list(workers)
        model.clients = dict.fromkeys(workers, Client(self, model))  # type: ignore[arg-type]

    def send(
        self, prompt: list[int] = PROMPT, instance_id: int | None = None, heard: Heard | None = None, name: str = "r"
    ) -> Flight:
        request = EngineRequest("m", list(prompt), stop=StopConditions(max_tokens=ANSWER))
        return self.dispatcher.send(request, heard or self.heard, request_id=name, instance_id=instance_id)

    def wait(self) -> list[tuple[int, Handover]]:
        """What prefill workers are told not to keep any more, after a while."""
        timers, self.timers = self.timers, []
        for timer in timers:
            timer()
        return self.let_go

    @property
    def last(self) -> Leg:
        return self.legs[-1]

    def is_free(self) -> bool:
        flights = self.dispatcher.inflight or self.remote.dispatcher.inflight
        loads = [model.loads.of(worker) for model in (self.model, self.pool) for worker in model.cards]
        return not flights and not any(any(load) for load in loads)

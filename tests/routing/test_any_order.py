"""Many requests at once, in any order of what can happen to them: what is counted is what there is."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.disagg.conditional import ConditionalDisagg
from dynamo_cli.disagg.options import DisaggOptions
from dynamo_cli.errors import (
    CannotConnect,
    Disconnected,
    Draining,
    DynamoError,
    EngineDied,
    EngineFailed,
    InvalidRequest,
    NoInstances,
    NotReady,
    Overloaded,
    StreamIncomplete,
    TransferFailed,
)
from dynamo_cli.routing.flight import Flight
from dynamo_cli.routing.kv_placing import KvPlacer
from dynamo_cli.routing.lending import Lending
from tests.routing.halves import ANSWER, DECODE, PREFILL, PROMPT, Heard, Leg, World

ERRORS = (
    *(Disconnected, StreamIncomplete, EngineDied, CannotConnect, Draining, Overloaded, NoInstances),
    *(TransferFailed, EngineFailed, InvalidRequest),
)


class Client(Heard):
    """Hears of its request until it has heard the end, or has cancelled: perhaps while it hears something."""

    def __init__(self, impatient: bool) -> None:
        super().__init__()
        self.flight: Flight | None = None
        self.impatient = impatient
        self.cancelled = False

    @property
    def over(self) -> bool:
        return self.cancelled or self.ended > 0 or bool(self.errors)

    def cancel(self) -> None:
        assert self.flight is not None
        self.cancelled = True
        self.flight.cancel()

    def on_frame(self, deltas: list[Any]) -> None:
        assert not self.over
        super().on_frame(deltas)
        if self.impatient and self.flight is not None:
            self.cancel()

    def on_end(self) -> None:
        assert not self.over
        super().on_end()

    def on_error(self, error: DynamoError) -> None:
        assert not self.over
        super().on_error(error)


class Story:
    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.now = 0.0
        short, after_s = chance.choice([10, len(PROMPT) + 3, 100]), chance.choice([None, 0.0, 5.0])
        lent = ConditionalDisagg(eff_isl_threshold=short, eff_isl_ratio_threshold=2.0, prefill_answers_after_s=after_s)
        self.world = World(
            chance.choice(["round-robin", "least-loaded", "kv"]),
            DisaggOptions(conditional=chance.choice([None, lent]), enforce=chance.random() < 0.2),
            bootstrap=chance.choice([0, 8998]),
            migrations=chance.choice([0, 1, 3]),
        )
        self.dispatchers = self.world.dispatcher, self.world.remote.dispatcher
        self.world.remote.lending = Lending(self.dispatchers[1].placer, lambda: self.now)
        self.clients: list[Client] = []

    @property
    def live(self) -> list[Leg]:
        return [leg for leg in self.world.legs if leg.live]

    def ask(self) -> None:
        client = Client(self.chance.random() < 0.1)
        wanted = self.chance.choice([None, None, None, *DECODE])
        try:
            client.flight = self.world.send(instance_id=wanted, heard=client, name=f"r{len(self.clients)}")
        except (NoInstances, NotReady, Overloaded):
            return
        self.clients.append(client)

    def go_on(self, leg: Leg) -> None:
        if leg.request.prefill_only:
            leg.hand_over()
        else:
            leg.say(self.chance.randint(1, ANSWER))

    def happen(self) -> None:
        chance, live = self.chance, self.live
        waiting = [client for client in self.clients if not client.over]
        what = chance.choice(["ask", "ask", "go on", "go on", "fail", "give up", "cancel", "staff", "refuse", "wait"])
        if what == "ask":
            self.ask()
        elif what == "go on" and live:
            self.go_on(chance.choice(live))
        elif what == "fail" and live:
            chance.choice(live).fail(chance.choice(ERRORS)("broken"))
        elif what == "give up" and live:
            chance.choice(live).give_up()
        elif what == "cancel" and waiting:
            chance.choice(waiting).cancel()
        elif what == "staff":
            self.staff(chance.sample(DECODE, chance.randint(0, 2)), chance.sample(PREFILL, chance.randint(0, 2)))
        elif what == "refuse":
            self.world.refusing = set(chance.sample([*DECODE, *PREFILL], chance.randint(0, 3)))
        elif what == "wait":
            self.now += 10.0
            self.world.wait()

    def staff(self, decode: list[int], prefill: list[int]) -> None:
        self.world.model.candidates, self.world.pool.candidates = decode, prefill
        for dispatcher in self.dispatchers:
            dispatcher.placer.workers_changed()

    def check(self) -> None:
        """What is in flight is where the streams are, and nowhere else."""
        counted = self.dispatchers[0].inflight | self.dispatchers[1].inflight
        there = Counter(leg.worker for leg in self.live)
        assert counted == there
        for dispatcher in self.dispatchers:
            if isinstance(dispatcher.placer, KvPlacer):
                active = dispatcher.placer.router.active
                assert active.requests == dispatcher.inflight
                assert len(active) or not (active.prefill_tokens or active.blocks or active.generated)


@given(st.integers(0, 1 << 32), st.integers(1, 60))
def test_what_is_counted_is_what_there_is(seed: int, steps: int) -> None:
    """The routers toss coins of their own, so what happens cannot be drawn by what has happened."""
    chance = Random(seed)
    story = Story(chance)
    for _ in range(steps):
        story.happen()
        story.check()
    story.world.refusing = set()
    story.staff(list(DECODE), list(PREFILL))
    while live := story.live:
        story.go_on(chance.choice(live))
        story.check()
    assert story.world.is_free()
    assert not story.world.remote.lending._guests
    for client in story.clients:
        assert client.over
        assert client.tokens == list(range(len(client.tokens)))
        assert len(client.tokens) == ANSWER or not client.ended

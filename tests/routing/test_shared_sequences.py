"""Several frontends in router mode kv: each knows what all of them have in flight, and only that."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_cli.errors import ResourceMissing
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.instance import EndpointId, Instance, ModelCard, ModelIdentity
from dynamo_cli.router.active import ActiveSequences
from dynamo_cli.routing.hints import NO_HINTS, RoutingHints
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.routing.kv_placing import KvPlacer
from dynamo_cli.routing.placing import Placed
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.routing.shared_sequences import SharedSequences
from dynamo_cli.runtime.events.base import Dump, EventPlane, Publisher
from dynamo_cli.runtime.events.memory import MemoryEventPlane, MemoryHub

BLOCK = 16
PROMPT = list(range(80))
Figures = tuple[dict[int, int], dict[int, int], dict[int, int]]


class SlowPlane(MemoryEventPlane):
    """Others follow the publisher before it is in its owner's hands, as they may with sockets."""

    async def publisher(
        self, namespace: str, component: str, topics: Mapping[str, Dump], *, remembered: int = 0
    ) -> Publisher:
        publisher = await super().publisher(namespace, component, topics)
        await passes(4)
        return publisher


class Frontend:
    """What a frontend process has of router mode kv; `number` is its instance id."""

    def __init__(self, hub: MemoryHub, number: int, **options: Any) -> None:
        self.plane = SlowPlane(hub, number)
        self.shared = SharedSequences(lambda: self.plane, number)
        self.model = RoutedModel("m")
        self.placer: KvPlacer | None = None
        self.placed: dict[str, Placed] = {}
        self._options = KvRoutingOptions(**options)
        self._numbers = count()

    def have(self, *workers: int, block_size: int = BLOCK, told: bool = True) -> None:
        """Its view of who serves the model, and from now on it serves it itself."""
        identity = ModelIdentity(kv_block_size=block_size)
        place = EndpointId("dynamo", "backend", "generate")
        self.model.cards = {one: ModelCard("m", identity, Instance(place, one, ""), kv_events=told) for one in workers}
        self.model.identity = identity if workers else None
        if self.placer is None:
            self.placer = KvPlacer(self.model, self._options, random.Random(1), lambda: 0.0, shared=self.shared)
        self.placer.workers_changed()

    def route(self, prompt: list[int] = PROMPT, worker: int | None = None, session: str = "") -> str:
        """Returns the request's id; the same ids are used by all frontends."""
        assert self.placer is not None
        name = f"r{next(self._numbers)}"
        candidates = list(self.model.cards) if worker is None else [worker]
        hints = RoutingHints(session=session) if session else NO_HINTS
        self.placed[name] = self.placer.place(EngineRequest("m", prompt), name, candidates, worker, hints)[1]
        return name

    def end(self, name: str) -> None:
        self.placed.pop(name).over()

    @property
    def active(self) -> ActiveSequences:
        assert self.placer is not None
        return self.placer.router.active

    async def die(self) -> None:
        await self.plane.close()
        await self.shared.close()


def figures(active: ActiveSequences) -> Figures:
    return active.requests, active.prefill_tokens, active.blocks


def union(frontends: list[Frontend]) -> Figures:
    """What all of them say of their own requests."""
    everything = ActiveSequences(BLOCK, router="nobody")
    for frontend in frontends:
        for event in frontend.active.told():
            everything.hear(event, 0.0)
    return figures(everything)


async def passes(number: int = 30) -> None:
    """Of the event loop."""
    for _ in range(number):
        await asyncio.sleep(0)


async def together(*numbers: int) -> list[Frontend]:
    hub = MemoryHub()
    frontends = [Frontend(hub, number) for number in numbers]
    for frontend in frontends:
        frontend.have(1, 2)
        frontend.shared.start()
    await passes()
    return frontends


@settings(max_examples=150)
@given(st.integers(0, 1 << 30))
def test_every_view_is_the_union_once_nothing_is_under_way(seed: int) -> None:
    asyncio.run(a_random_life(random.Random(seed)))


async def a_random_life(rng: random.Random) -> None:
    """Frontends come, learn of the others, of the model and of workers, when they do; route; and are killed."""
    hub, numbers = MemoryHub(), count(1)
    frontends = [Frontend(hub, next(numbers), session_ttl_s=60.0) for _ in range(3)]
    for _ in range(rng.randrange(10, 80)):
        await step(rng, hub, frontends, numbers)
        await passes(rng.choice((0, 0, 1, 3)))
    for frontend in frontends:
        frontend.have(1, 2, 3)
        frontend.shared.start()
    await passes()
    for frontend in frontends:
        assert figures(frontend.active) == union(frontends)
        assert len(frontend.shared.routers()) == 2 and all(frontend.shared.routers().values())
    for frontend in frontends:
        for name in list(frontend.placed):
            frontend.end(name)
    await passes()
    for frontend in frontends:
        assert figures(frontend.active) == ({}, {}, {}) and len(frontend.active) == 0
        assert frontend.placer is not None and not frontend.placer.router._sessions
        await frontend.die()


async def step(rng: random.Random, hub: MemoryHub, frontends: list[Frontend], numbers: Any) -> None:
    at, act = rng.randrange(3), rng.random()
    frontend = frontends[at]
    if act < 0.45 and frontend.model.cards:
        prompt = list(range(rng.choice((0, 5, 16, 40, 80)))) + rng.choices(range(3), k=rng.randrange(40))
        frontend.route(prompt, session=rng.choice(("", "a", "b")))
    elif act < 0.6 and frontend.placed:
        rng.choice(list(frontend.placed.values())).heard(rng.randrange(3))
    elif act < 0.75 and frontend.placed:
        frontend.end(rng.choice(list(frontend.placed)))
    elif act < 0.8:
        frontend.shared.start()
    elif act < 0.9:
        frontend.have(*rng.sample((1, 2, 3), rng.randrange(4)))
    elif act < 0.94:
        lose_something(rng, hub)
    elif act < 0.97:
        await frontend.die()
        frontends[at] = Frontend(hub, next(numbers), session_ttl_s=60.0)


def lose_something(rng: random.Random, hub: MemoryHub) -> None:
    """A subscriber notices that it has missed something, and is told everything anew."""
    if hub.topics:
        topic = rng.choice(list(hub.topics.values()))
        for subscription in topic.followers:
            subscription._reset(topic)


async def test_a_prompt_on_its_way_draws_the_next_one_like_it_at_another_frontend() -> None:
    one, other = await together(1, 2)
    one.route(worker=2)
    await passes()
    assert other.active.requests == {2: 1} and other.active.blocks == {2: 5}
    next(iter(one.placed.values())).heard(0)
    await passes()
    other.route()
    assert other.active.requests == {2: 2}
    assert other.placed["r0"].kv_hit_rate == 1.0
    await passes()
    assert one.active.shares(2) == other.active.shares(2)
    assert set(one.active.shares(2)) == {"1", "2"}


async def test_what_a_killed_one_had_is_gone_and_a_new_one_hears_all() -> None:
    one, other = await together(1, 2)
    one.route()
    other.route()
    await one.die()
    await passes()
    assert figures(other.active) == union([other])
    late = Frontend(other.plane._hub, 3)
    late.shared.start()
    await passes()
    late.have(1, 2)
    assert figures(late.active) == union([other]) and len(late.active) == 1


async def test_guesses_hold_for_what_others_routed() -> None:
    """Engines that tell nothing: what has been routed there, by anybody, is thought to be there."""
    one, other = await together(1, 2)
    for frontend in (one, other):
        frontend.have(1, 2, 3, told=False)
        frontend.have(3, told=False)
        frontend.have(1, 2, 3, told=False)
    one.end(one.route(worker=1))
    await passes()
    other.route()
    assert other.active.requests == {1: 1} and other.placed["r0"].kv_hit_rate == 1.0


async def test_requests_of_others_stay_known_when_blocks_have_another_size() -> None:
    one, other = await together(1, 2)
    for frontend in (one, other):
        frontend.route(worker=1)
    one.have()
    one.have(7, block_size=32)
    one.route()
    await passes()
    assert one.active.requests == {1: 1, 7: 1} and other.active.requests == one.active.requests
    other.have()
    other.have(7, block_size=32)
    await passes()
    assert other.active.requests == {7: 1} and one.active.requests == {7: 1}
    assert other.active.blocks == one.active.blocks == {7: 2}


async def test_sessions_stay_where_any_frontend_began_them() -> None:
    hub, sticky = MemoryHub(), {"session_ttl_s": 60.0, "policy": "least-tokens"}
    one, other = Frontend(hub, 1, **sticky), Frontend(hub, 2, **sticky)
    for frontend in (one, other):
        frontend.have(1, 2)
        frontend.shared.start()
    await passes()
    first = one.route(worker=2, session="s")
    await passes()
    for number in range(2):
        other.route([number] * 50, session="s")
    assert other.active.requests == {2: 3}
    one.end(first)
    await one.die()
    await passes()
    other.route([7] * 50, session="s")
    assert other.active.requests == {2: 3}
    for name in list(other.placed):
        other.end(name)
    assert other.placer is not None and not other.placer.router._sessions


async def test_alone_nothing_is_opened_and_nothing_is_told() -> None:
    def plane() -> EventPlane:
        raise AssertionError("it is alone")

    frontend = Frontend(MemoryHub(), 1)
    frontend.shared = SharedSequences(plane, 1)
    frontend.have(1)
    frontend.route()
    assert frontend.active.publish is None and frontend.shared.routers() == {}
    await frontend.shared.close()


async def test_who_cannot_tell_routes_alone_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    class Deaf(MemoryEventPlane):
        async def publisher(
            self, namespace: str, component: str, topics: Mapping[str, Dump], *, remembered: int = 0
        ) -> Publisher:
            raise ResourceMissing("no port is free")

    frontend = Frontend(MemoryHub(), 1)
    frontend.shared = SharedSequences(lambda: Deaf(MemoryHub(), 1), 1)
    frontend.have(1)
    with caplog.at_level(logging.ERROR):
        frontend.shared.start()
        frontend.route()
        await passes()
    assert "without knowing what others route: no port is free" in caplog.text
    assert frontend.active.publish is None and not frontend.shared._unsaid
    await frontend.shared.close()


async def test_what_cannot_be_said_for_long_is_not_kept_for_ever() -> None:
    """A full disk holds the announcement up."""

    class Stuck(MemoryEventPlane):
        async def publisher(
            self, namespace: str, component: str, topics: Mapping[str, Dump], *, remembered: int = 0
        ) -> Publisher:
            await asyncio.Event().wait()
            raise AssertionError

    frontend = Frontend(MemoryHub(), 1)
    frontend.shared = SharedSequences(lambda: Stuck(MemoryHub(), 1), 1)
    frontend.have(1)
    frontend.shared.start()
    for _ in range(3000):
        frontend.end(frontend.route([1]))
    assert 0 < len(frontend.shared._unsaid["m"]) <= 4096
    await frontend.shared.close()


async def test_many_long_prompts_at_once_are_told_in_messages_that_fit() -> None:
    """A message over 16 MiB would be refused, and lost."""
    one, other = await together(1, 2)
    hashes = list(range(1 << 63, (1 << 63) + 65_536))
    for number in range(40):
        one.active.add(f"{number}", 1, hashes, 1 << 20)
    await passes()
    assert other.active.requests == {1: 40} and other.active.blocks == {1: 65_536}
    late = Frontend(other.plane._hub, 3)
    late.have(1, 2)
    late.shared.start()
    await passes()
    assert late.active.requests == {1: 40}

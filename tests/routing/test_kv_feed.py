"""What workers tell reaches the router of their model, whenever each of them comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from dynamo_cli.protocol.held_blocks import HeldBlocks
from dynamo_cli.protocol.instance import EndpointId
from dynamo_cli.protocol.kv import KV_TOPIC, KvEvent, Removed, Stored
from dynamo_cli.routing.kv_feed import KvFeed
from dynamo_cli.runtime.events.base import Publisher
from dynamo_cli.runtime.events.memory import MemoryEventPlane, MemoryHub

ENDPOINT = EndpointId("dynamo", "backend", "generate")


class Teller:
    """A worker's side."""

    def __init__(self, hub: MemoryHub, worker: int) -> None:
        self.worker = worker
        self.plane = MemoryEventPlane(hub, worker)
        self.held = HeldBlocks()
        self.publisher: Publisher | None = None

    async def open(self) -> Teller:
        self.publisher = await self.plane.publisher("dynamo", "backend", {KV_TOPIC: self.held.events})
        return self

    def tell(self, *events: KvEvent) -> None:
        assert self.publisher is not None
        for event in events:
            self.held.apply(event)
        self.publisher.publish(KV_TOPIC, list(events))


class Known:
    """A router's side: what it believes of each worker."""

    def __init__(self) -> None:
        self.held: dict[int, HeldBlocks] = {}

    def hear(self, worker: int, events: list[KvEvent]) -> None:
        for event in events:
            self.held.setdefault(worker, HeldBlocks()).apply(event)

    def blocks(self, worker: int) -> list[int]:
        events = self.held[worker].events() if worker in self.held else []
        return [block for message in events for event in message if isinstance(event, Stored) for block in event.hashes]


class World:
    def __init__(self) -> None:
        self.hub = MemoryHub()
        self.feed = KvFeed(lambda: MemoryEventPlane(self.hub, 999))
        self.known = Known()
        self.tellers: list[Teller] = []

    async def teller(self, worker: int) -> Teller:
        self.tellers.append(await Teller(self.hub, worker).open())
        return self.tellers[-1]

    def follow(self, worker: int) -> None:
        self.feed.follow(worker, ENDPOINT, self.known)


async def passes() -> None:
    """Everything that was said is heard."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.feed.close()
    for teller in world.tellers:
        await teller.plane.close()


async def test_a_late_router_knows_all_and_hears_what_changes(world: World) -> None:
    teller = await world.teller(1)
    teller.tell(Stored([1, 2, 3]))
    world.follow(1)
    await passes()
    assert world.known.blocks(1) == [1, 2, 3]
    teller.tell(Removed([2]), Stored([4]))
    await passes()
    assert world.known.blocks(1) == [1, 3, 4]


async def test_a_worker_may_tell_before_its_model_is_known(world: World) -> None:
    world.follow(1)
    await world.teller(1)
    second = await world.teller(2)
    second.tell(Stored([5, 6]))
    await passes()
    second.tell(Removed([5]))
    await passes()
    assert 2 not in world.known.held
    world.follow(2)
    second.tell(Stored([7]))
    await passes()
    assert world.known.blocks(2) == [6, 7]


async def test_the_blocks_of_a_worker_that_has_gone_are_gone(world: World) -> None:
    first, second = await world.teller(1), await world.teller(2)
    world.follow(1)
    world.follow(2)
    first.tell(Stored([1]))
    second.tell(Stored([2]))
    await passes()
    await first.plane.close()
    await passes()
    assert (world.known.blocks(1), world.known.blocks(2)) == ([], [2])


async def test_nothing_is_kept_of_a_worker_that_was_gone_before_it_was_left(world: World) -> None:
    first = await world.teller(1)
    world.follow(1)
    await passes()
    await first.plane.close()
    await passes()
    world.feed.leave(1, ENDPOINT)
    (component,) = world.feed._components.values()
    assert not component.has_missed(1)
    again = await world.teller(1)
    again.tell(Stored([1]))
    world.follow(1)
    await passes()
    assert world.known.blocks(1) == [1]


async def test_one_that_was_left_and_is_followed_again_is_known_in_full(world: World) -> None:
    first, second = await world.teller(1), await world.teller(2)
    world.follow(1)
    world.follow(2)
    first.tell(Stored([1]))
    second.tell(Stored([2]))
    await passes()
    world.feed.leave(1, ENDPOINT)
    world.feed.leave(1, ENDPOINT)
    first.tell(Stored([3]), Removed([1]))
    second.tell(Stored([4]))
    await passes()
    world.known.held.pop(1)
    world.follow(1)
    await passes()
    first.tell(Stored([5]))
    await passes()
    assert (world.known.blocks(1), world.known.blocks(2)) == ([3, 5], [2, 4])


async def test_a_worker_that_begins_anew_holds_nothing(world: World) -> None:
    teller = await world.teller(1)
    world.follow(1)
    teller.tell(Stored([1]))
    await passes()
    await teller.plane.close()
    world.feed.leave(1, ENDPOINT)
    await passes()
    world.known.held.clear()
    world.follow(1)
    again = await world.teller(1)
    again.tell(Stored([9]))
    await passes()
    assert world.known.blocks(1) == [9]

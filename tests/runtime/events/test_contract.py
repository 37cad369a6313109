"""What every event plane promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from dynamo_cli.protocol.kv import KvEvent
from dynamo_cli.runtime.discovery.memory import MemoryDiscovery, MemoryStore
from dynamo_cli.runtime.events.base import EventPlane, Subscription, no_state
from dynamo_cli.runtime.events.memory import MemoryEventPlane, MemoryHub
from dynamo_cli.runtime.events.tcp import TcpEventPlane
from tests.runtime.events.copies import PLACE, Blocks, Copy, Heard
from tests.runtime.waiting import until

Join = Callable[[int], EventPlane]


@pytest.fixture(params=["tcp", "mem"])
async def join(request: pytest.FixtureRequest) -> AsyncIterator[Join]:
    """Makes the event planes of processes, by their instance ids."""
    hub, store = MemoryHub(), MemoryStore()
    planes: list[EventPlane] = []

    def make(instance_id: int) -> EventPlane:
        tcp = request.param == "tcp"
        planes.append(
            TcpEventPlane(b"secret", MemoryDiscovery(store), instance_id) if tcp else MemoryEventPlane(hub, instance_id)
        )
        return planes[-1]

    yield make
    for plane in planes:
        await plane.close()
        await plane.close()


async def follow(plane: EventPlane, sink: Any, kind: Any = Any, topic: str = "kv") -> Subscription:
    return await plane.subscribe(*PLACE, topic, sink, kind)


def whole(subscription: Subscription, *publishers: int) -> bool:
    standings = subscription.publishers()
    return all(one in standings and standings[one].whole for one in publishers)


async def test_the_state_comes_first_and_then_every_change(join: Join) -> None:
    blocks = Blocks()
    blocks.store(range(100))
    await blocks.open(join(1))
    copy = Copy()
    subscription = await follow(join(9), copy, KvEvent)
    await until(lambda: whole(subscription, 1))
    assert copy.held == {1: set(range(100))} and copy.resets == [1]
    blocks.remove(range(50))
    blocks.store([500, 2**64 - 1])
    blocks.store([])
    await until(lambda: copy.held[1] == set(blocks.held))
    blocks.clear()
    await until(lambda: copy.held[1] == set())
    assert copy.resets == [1] and blocks.dumps == 1


async def test_messages_come_in_order_and_once(join: Join) -> None:
    publisher = await join(1).publisher(*PLACE, {"kv": no_state})
    heard = Heard()
    subscription = await follow(join(9), heard)
    await until(lambda: whole(subscription, 1))
    for start in range(0, 3000, 100):
        for number in range(start, start + 100):
            publisher.publish("kv", number)
        await asyncio.sleep(0)
    await until(lambda: len(heard.calls) > 3000)
    assert heard.calls == [("reset", 1), *((1, number) for number in range(3000))]
    assert subscription.publishers()[1].sequence == 3000


async def test_publishers_come_and_go(join: Join) -> None:
    copy = Copy()
    subscription = await follow(join(9), copy, KvEvent)
    assert subscription.publishers() == {}
    workers = {number: Blocks() for number in (1, 2, 3)}
    for number, blocks in workers.items():
        await blocks.open(join(number))
        blocks.store([number, number * 10])
    await until(lambda: copy.held == {number: {number, number * 10} for number in workers})
    assert workers[2].publisher is not None
    await workers[2].publisher.close()
    await until(lambda: set(copy.held) == {1, 3})
    assert copy.gone == [2] and set(subscription.publishers()) == {1, 3}


async def test_a_publisher_that_begins_anew_is_not_taken_for_the_old_one(join: Join) -> None:
    plane = join(1)
    old, new = Blocks(), Blocks()
    publisher = await old.open(plane)
    copy = Copy()
    await follow(join(9), copy, KvEvent)
    old.store(range(10))
    await until(lambda: copy.held.get(1) == set(range(10)))
    await publisher.close()
    for number in range(20, 40):  # as many messages and more: their numbers alone would not tell
        new.store([number])
    await new.open(plane)
    new.store([40])
    await until(lambda: copy.held.get(1) == set(range(20, 41)))
    assert copy.resets == [1, 1]


async def test_late_comers_lose_nothing_and_get_nothing_twice(join: Join) -> None:
    count = 0
    publisher = await join(1).publisher(*PLACE, {"kv": lambda: [list(range(count))]})
    sinks = [Heard() for _ in range(5)]
    plane = join(9)
    for number in range(500):
        if number % 100 == 20:
            await follow(plane, sinks[number // 100])
        for _ in range(3):
            publisher.publish("kv", [count])
            count += 1
        await asyncio.sleep(0)

    def known(sink: Heard) -> list[int]:
        return [number for _, payload in sink.calls[1:] for number in payload]

    await until(lambda: all(known(sink)[-1:] == [count - 1] for sink in sinks))
    assert all(known(sink) == list(range(count)) for sink in sinks)
    assert all(sink.calls[0] == ("reset", 1) for sink in sinks)


async def test_a_large_state_comes_whole_while_it_changes(join: Join) -> None:
    blocks = Blocks()
    blocks.store(range(200_000))
    await blocks.open(join(1))
    copy = Copy()
    subscription = await follow(join(9), copy, KvEvent)
    at = 0
    while not whole(subscription, 1):
        blocks.remove(range(at, at + 10))
        at += 10
        await asyncio.sleep(0)
    await until(lambda: copy.held[1] == set(blocks.held))
    assert copy.resets == [1]


async def test_topics_and_components_are_apart(join: Join) -> None:
    plane = join(1)
    one = await plane.publisher(*PLACE, {"kv": no_state, "load": no_state})
    other = await plane.publisher("dynamo", "prefill", {"kv": no_state})
    reader = join(9)
    kv, load = Heard(), Heard()
    subscriptions = [await follow(reader, kv), await follow(reader, load, topic="load")]
    await until(lambda: all(whole(subscription, 1) for subscription in subscriptions))
    one.publish("load", "l")
    other.publish("kv", "other")
    one.publish("kv", "k")
    await until(lambda: len(kv.calls) == 2 and len(load.calls) == 2)
    assert kv.calls[1:] == [(1, "k")] and load.calls[1:] == [(1, "l")]


async def test_a_message_is_taken_as_it_was_when_published(join: Join) -> None:
    publisher = await join(1).publisher(*PLACE, {"kv": no_state})
    heard = Heard()
    subscription = await follow(join(9), heard)
    await until(lambda: whole(subscription, 1))
    growing: list[int] = []
    for number in range(3):
        growing.append(number)
        publisher.publish("kv", growing)
    await until(lambda: len(heard.calls) == 4)
    assert [payload for _, payload in heard.calls[1:]] == [[0], [0, 1], [0, 1, 2]]


async def test_nothing_is_encoded_while_nobody_follows(join: Join) -> None:
    publisher = await join(1).publisher(*PLACE, {"kv": lambda: ["state"]})
    for _ in range(1000):
        publisher.publish("kv", object())
    heard = Heard()
    subscription = await follow(join(9), heard)
    await until(lambda: whole(subscription, 1))
    assert heard.calls == [("reset", 1), (1, "state")]
    assert subscription.publishers()[1].sequence == 1000


async def test_what_cannot_be_published_is_refused_and_not_counted(join: Join) -> None:
    publisher = await join(1).publisher(*PLACE, {"kv": no_state})
    heard = Heard()
    subscription = await follow(join(9), heard)
    await until(lambda: whole(subscription, 1))
    with pytest.raises(TypeError):
        publisher.publish("kv", object())
    with pytest.raises(OverflowError):
        publisher.publish("kv", 2**65)
    with pytest.raises(ValueError, match="over the limit"):
        publisher.publish("kv", bytes(17 << 20))
    with pytest.raises(KeyError):
        publisher.publish("other", 1)
    publisher.publish("kv", 1)
    await until(lambda: heard.calls[1:] == [(1, 1)])
    assert subscription.publishers()[1].sequence == 1


async def test_names_and_publishers_are_checked(join: Join) -> None:
    plane = join(1)
    for names in (("", "backend", "kv"), ("dynamo", "a/b", "kv"), ("dynamo", "backend", "K v")):
        with pytest.raises(ValueError, match="cannot be part"):
            await plane.publisher(names[0], names[1], {names[2]: no_state})
        with pytest.raises(ValueError, match="cannot be part"):
            await plane.subscribe(*names, Heard())
    await plane.publisher(*PLACE, {"kv": no_state})
    with pytest.raises(ValueError, match="already"):
        await plane.publisher(*PLACE, {"kv": no_state})


async def test_a_sink_that_fails_gets_the_state_anew_and_harms_no_other(
    join: Join, caplog: pytest.LogCaptureFixture
) -> None:
    blocks = Blocks()
    await blocks.open(join(1))
    plane = join(9)
    broken, fine = Heard(), Copy()
    subscriptions = [await follow(plane, broken, KvEvent), await follow(plane, fine, KvEvent)]
    await until(lambda: all(whole(subscription, 1) for subscription in subscriptions))
    broken.failures = 1
    blocks.store([1])
    blocks.store([2])
    await until(lambda: broken.calls.count(("reset", 1)) == 2 and whole(subscriptions[0], 1))
    blocks.store([3])
    await until(lambda: fine.held == {1: {1, 2, 3}} and len(broken.calls) == 4)
    assert [payload.hashes for _, payload in broken.calls[2:]] == [[1, 2], [3]]
    assert fine.resets == [1]
    assert "broken sink" in caplog.text


async def test_messages_of_another_type_are_not_believed(join: Join, caplog: pytest.LogCaptureFixture) -> None:
    class Question(msgspec.Struct):
        words: list[str]

    publisher = await join(1).publisher(*PLACE, {"kv": no_state})
    plane = join(9)
    wrong, right = Heard(), Heard()
    subscriptions = [await follow(plane, wrong, Question), await follow(plane, right, list[int])]
    await until(lambda: all(whole(subscription, 1) for subscription in subscriptions))
    publisher.publish("kv", [1])
    publisher.publish("kv", [2])
    await until(lambda: len(right.calls) == 3)
    await until(lambda: wrong.calls.count(("reset", 1)) == 2)
    assert {call[0] for call in wrong.calls} == {"reset"}
    assert len(caplog.records) == 1


async def test_a_state_that_cannot_be_told_is_asked_for_again(join: Join, caplog: pytest.LogCaptureFixture) -> None:
    state: list[Any] = [object()]
    await join(1).publisher(*PLACE, {"kv": lambda: state})
    heard = Heard()
    await follow(join(9), heard)
    await until(lambda: "cannot be t" in caplog.text)
    assert (1, 5) not in heard.calls
    state[:] = [5]
    await until(lambda: heard.calls[-2:] == [("reset", 1), (1, 5)])


async def test_a_closed_subscription_hears_nothing_more(join: Join) -> None:
    blocks = Blocks()
    publisher = await blocks.open(join(1))
    plane = join(9)
    closed, open_ = Heard(), Heard()
    subscriptions = [await follow(plane, closed), await follow(plane, open_)]
    await until(lambda: all(whole(subscription, 1) for subscription in subscriptions))
    blocks.store([1])
    await subscriptions[0].close()
    await subscriptions[0].close()
    before = len(closed.calls)
    blocks.store([2])
    await publisher.close()
    await until(lambda: open_.calls[-1] == ("gone", 1))
    assert len(closed.calls) == before and subscriptions[0].publishers() == {}


async def test_what_was_published_before_the_end_still_comes(join: Join) -> None:
    publisher = await join(1).publisher(*PLACE, {"kv": no_state})
    heard = Heard()
    subscription = await follow(join(9), heard)
    await until(lambda: whole(subscription, 1))
    publisher.publish("kv", "last words")
    await publisher.close()
    await publisher.close()
    await until(lambda: heard.calls[-1] == ("gone", 1))
    assert heard.calls == [("reset", 1), (1, "last words"), ("gone", 1)]


async def test_a_process_may_follow_the_others_alone(join: Join) -> None:
    own, other = join(1), join(2)
    mine = await own.publisher(*PLACE, {"kv": no_state})
    theirs = await other.publisher(*PLACE, {"kv": no_state})
    heard = Heard()
    subscription = await own.subscribe(*PLACE, "kv", heard, others_only=True)
    await until(lambda: whole(subscription, 2))
    mine.publish("kv", "mine")
    theirs.publish("kv", "theirs")
    await until(lambda: len(heard.calls) > 1)
    assert heard.calls == [("reset", 2), (2, "theirs")]
    assert set(subscription.publishers()) == {2}

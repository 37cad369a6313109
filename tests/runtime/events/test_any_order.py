"""Whatever happens to frames and connections, a copy becomes equal to its publisher's state. No sockets, no clock.

The state here is the list of all that was published, so that whatever is lost, doubled or out of order shows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from dynamo_cli.runtime.events.frames import Events, Follow, Snapshot, Tip, encode_message, frame_decoder
from dynamo_cli.runtime.events.history import History, Told
from dynamo_cli.runtime.events.intake import Intake
from dynamo_cli.runtime.events.topic import Follower, Topic
from dynamo_cli.runtime.links.frames import LENGTH_BYTES

PATH = "dynamo/backend/kv"


class Loop:
    """Runs what was left for later when told to; a timer waits until `pass_time`."""

    class Timer:
        def __init__(self, what: Callable[[], None]) -> None:
            self.what = what

        def cancel(self) -> None:
            self.what = lambda: None

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.timers: list[Loop.Timer] = []

    def call_soon(self, what: Callable[[], None]) -> None:
        self.soon.append(what)

    def call_later(self, seconds: float, what: Callable[[], None]) -> Timer:
        self.timers.append(Loop.Timer(what))
        return self.timers[-1]

    def step(self) -> None:
        soon, self.soon = self.soon, []
        for what in soon:
            what()

    def pass_time(self) -> None:
        timers, self.timers = self.timers, []
        for timer in timers:
            timer.what()


class Wire:
    """A connection that carries frames when told to. It takes `room` frames at once."""

    def __init__(self, room: int = 3) -> None:
        self.frames: deque[bytes] = deque()
        self.room = room
        self.closed = False

    @property
    def paused(self) -> bool:
        return len(self.frames) >= self.room

    def write(self, data: bytes) -> None:
        self.frames.append(data)

    def close(self, reason: str) -> None:
        self.closed = True

    def finish(self) -> None:
        self.closed = True


class Copy:
    """The numbers of a publisher, which begin at one of `starts` and never leave one out."""

    def __init__(self) -> None:
        self.starts: set[int] = set()
        self.heard: list[int] | None = None

    def on_reset(self, publisher: int) -> None:
        self.heard = []

    def on_event(self, publisher: int, payload: list[int]) -> None:
        assert self.heard is not None
        if payload:
            assert payload[0] == self.heard[-1] + 1 if self.heard else payload[0] in self.starts
        self.heard += payload

    def on_gone(self, publisher: int) -> None:
        self.heard = None


class World:
    """One publisher, one subscriber, and what goes wrong between them."""

    def __init__(self, history: int) -> None:
        self.loop = Loop()
        self.told: list[int] = []
        self.dumps = 0
        self.copy = Copy()
        self.intake = Intake(1, self.copy, msgspec.msgpack.Decoder(list[int]).decode)
        self.wire: Wire | None = None
        self.asked = False
        self.questions: deque[Follow] = deque()
        self._history = history
        self._next = 1 << 63
        self.begin_anew()

    def begin_anew(self) -> None:
        """The publisher's process ends, and another one takes its place."""
        self.disconnect()
        self.told = []
        self._next += 1000
        self.copy.starts.add(self._next)
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        self.topic = Topic(PATH, self.dump, loop, History(self._history))

    def dump(self) -> list[list[int]]:
        self.dumps += 1
        return [self.told[at : at + 100] for at in range(0, len(self.told), 100)]

    def publish(self, count: int = 1) -> None:
        """One message of so many numbers."""
        numbers = list(range(self._next, self._next + count))
        self._next += count
        self.told += numbers
        self.topic.publish(numbers)

    def connect(self) -> None:
        self.disconnect()
        self.wire = Wire()
        self.follower = Follower(self.topic, cast(Any, self.wire))
        self.ask()

    def disconnect(self) -> None:
        if self.wire is not None:
            self.topic.leave(self.follower)
        self.wire = None
        self.asked = False
        self.questions.clear()

    def ask(self) -> None:
        self.asked = True
        self.questions.append(self.intake.follow(PATH))

    def answer(self) -> None:
        if self.wire is not None and self.questions:
            self.follower.start(self.questions.popleft())

    def deliver(self) -> None:
        """One frame, as the subscriber's connection takes it."""
        if self.wire is None or not self.wire.frames:
            return
        frame = frame_decoder.decode(self.wire.frames.popleft()[LENGTH_BYTES:])
        if self.intake.take(frame):
            self.asked = False
        elif not self.asked or type(frame) is Tip:
            self.ask()
        self.follower.pump()

    def disturb(self, how: str) -> None:
        frames = self.wire.frames if self.wire is not None else deque[bytes]()
        if how == "drop" and frames:
            frames.popleft()
        elif how == "double" and frames:
            frames.append(frames[0])
        elif how == "swap":
            frames.reverse()

    def settle(self) -> None:
        if self.wire is None:
            self.connect()
        for _ in range(20):
            while self.questions or (self.wire is not None and self.wire.frames) or self.loop.soon:
                self.loop.step()
                self.answer()
                self.deliver()
            self.topic.beat()


steps = st.sampled_from(
    [
        *["publish"] * 5,
        *["step"] * 3,
        *["answer"] * 3,
        *["deliver"] * 6,
        *["connect"] * 2,
        *["drop", "double", "swap", "beat", "disconnect", "begin_anew", "pass_time"],
    ]
)


def run(world: World, step: str) -> None:
    if step == "beat":
        world.topic.beat()
    elif step in ("step", "pass_time"):
        getattr(world.loop, step)()
    elif step in ("drop", "double", "swap"):
        world.disturb(step)
    else:
        getattr(world, step)()


CATCH_UP = ["connect", "answer", "deliver", "deliver"]
TELL = ["publish", "step", "deliver"]


@settings(max_examples=250)
@given(st.sampled_from([0, 1, 90]), st.integers(1, 8), st.lists(steps, max_size=60))
@example(0, 8, [*CATCH_UP, *TELL * 3, "begin_anew", *["publish"] * 3, *CATCH_UP[:2], "drop", "drop", *TELL * 3])
@example(0, 8, [*CATCH_UP, *TELL * 3, "begin_anew", "connect", "answer", "drop"])
@example(90, 8, ["connect", "answer", "deliver", "deliver", "deliver", "publish", "step", "drop", "deliver"])
@example(150, 8, ["connect", "answer", "deliver", "drop", *["deliver"] * 4])
@example(1, 8, [*CATCH_UP, *TELL * 3, *["publish", "step"] * 2, "connect", "answer", "double", *["deliver"] * 5])
@example(1, 2, [*CATCH_UP, "disconnect", *["publish"] * 9, "connect", "answer", "publish", "step", "swap"])
def test_a_copy_becomes_equal(first: int, history: int, steps: list[str]) -> None:
    world = World(history)
    world.publish(first * 1000)
    for step in steps:
        run(world, step)
    for _ in range(2):
        world.settle()
        assert world.intake.whole
        assert world.copy.heard == world.told
        world.publish()


def test_a_gap_is_seen_at_once_and_what_is_known_already_is_passed_over() -> None:
    copy = Copy()
    copy.starts.add(7)
    intake = Intake(1, copy, msgspec.msgpack.Decoder(list[int]).decode)
    assert intake.follow(PATH) == Follow(PATH, 0, 0)
    assert intake.take(Snapshot(5, 2, 0, 1, [Raw(encode_message([7, 8]))]))
    assert intake.follow(PATH) == Follow(PATH, 5, 2)
    assert not intake.take(Events(5, 4, [Raw(encode_message([10]))]))
    assert intake.take(Events(5, 3, [Raw(encode_message([9])), Raw(encode_message([10]))]))
    assert intake.take(Events(5, 4, [Raw(encode_message([10]))]))
    assert intake.take(Tip(5, 4)) and not intake.take(Tip(5, 5)) and not intake.take(Tip(6, 4))
    assert copy.heard == [7, 8, 9, 10]


@settings(max_examples=100)
@given(st.integers(1, 5), st.lists(st.integers(1, 4), min_size=1, max_size=20), st.integers(1, 80))
def test_a_history_is_a_range_without_holes(messages: int, counts: list[int], wanted: int) -> None:
    history = History(messages)
    last = 0
    for count in counts:
        history.add(Told(last + 1, last + count, b"x"))
        last += count
    if history.has(wanted):
        told = history.frame_with(wanted)
        assert told.first <= wanted <= told.last
        assert all(history.has(later) for later in range(wanted, last + 1))
    else:
        assert wanted > last or wanted <= last - messages + 1 or wanted <= last - counts[-1]
    history.clear()
    assert not history.has(last)


def test_a_history_is_bounded_in_bytes_but_keeps_the_newest() -> None:
    history = History(1000, 10_000)
    for number in range(1, 100):
        history.add(Told(number, number, bytes(1000)))
    assert history.has(99) and history.has(94) and not history.has(90)
    history.add(Told(100, 100, bytes(20_000)))
    assert history.has(100) and not history.has(99)


def test_a_subscriber_that_does_not_read_holds_one_dump_at_most() -> None:
    """It gives up its dump once that has become old, and takes a new one when it reads again."""
    world = World(history=4)
    world.publish(200_000)
    world.connect()
    world.answer()
    assert world.wire is not None and len(world.wire.frames) == world.wire.room
    assert world.follower._state is not None
    for _ in range(10):
        world.publish()
        world.loop.step()
    assert world.follower._state is None and len(world.wire.frames) == world.wire.room
    world.settle()
    assert world.copy.heard == world.told and world.dumps == 2


def test_a_subscriber_that_misses_little_gets_that_and_no_dump() -> None:
    world = World(history=10)
    world.connect()
    world.settle()
    for _ in range(5):
        world.disconnect()
        for _ in range(10):
            world.publish()
        world.settle()
    assert world.copy.heard == world.told and world.dumps == 1
    world.disconnect()
    world.publish()
    world.loop.pass_time()
    world.settle()
    assert world.copy.heard == world.told and world.dumps == 2


def test_followers_that_come_together_share_a_dump() -> None:
    world = World(history=100)
    world.publish(200_000)
    for _ in range(4):
        follower = Follower(world.topic, cast(Any, Wire(room=1)))
        follower.start(Follow(PATH))
        world.publish()
    assert world.dumps == 1


def test_no_dump_is_taken_in_the_middle_of_publishing() -> None:
    """However much that is: the owner may have changed its state and still be telling how."""
    world = World(history=1)
    world.connect()
    world.settle()
    dumps = world.dumps
    for _ in range(20):
        world.publish(20_000)
        assert world.dumps == dumps
    world.settle()
    assert world.copy.heard == world.told

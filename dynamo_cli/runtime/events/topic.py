"""A topic at its publisher: numbers messages, keeps the latest, and knows how far each follower is."""

from __future__ import annotations

import asyncio
import logging
import secrets
import weakref
from typing import Any, Protocol

from msgspec import Raw

from dynamo_cli.runtime.events.base import Dump
from dynamo_cli.runtime.events.frames import (
    FRAME_BYTES,
    LARGEST_MESSAGE,
    Events,
    Follow,
    Snapshot,
    Tip,
    encode_message,
    in_frames,
)
from dynamo_cli.runtime.events.history import History, Told
from dynamo_cli.runtime.links.frames import encode_frame

_log = logging.getLogger(__name__)
RESUME_S = 10.0
"""How long messages are still kept after the last follower was lost."""


class Reader(Protocol):
    """The connection of a follower. `paused`: it takes no more for now."""

    paused: bool
    closed: bool

    def write(self, data: bytes) -> None: ...

    def close(self, reason: str) -> None: ...

    def finish(self) -> None:
        """Close once what is written has left."""


class State:
    """A dump, ready to be sent: the state after message `sequence`."""

    __slots__ = ("__weakref__", "frames", "sequence")

    def __init__(self, epoch: int, sequence: int, messages: list[bytes]) -> None:
        self.sequence = sequence
        parts = list(in_frames(messages))
        self.frames = [
            bytes(encode_frame(Snapshot(epoch, sequence, part, len(parts), items))) for part, items in enumerate(parts)
        ]


class Topic:
    """`epoch` is of this object's life, so that a publisher that began anew is not taken for the old one."""

    def __init__(self, path: str, dump: Dump, loop: asyncio.AbstractEventLoop, history: History | None = None) -> None:
        self.path = path
        self.epoch = secrets.randbits(64) or 1
        self.sequence = 0
        self.followers: dict[Follower, None] = {}
        self._dump = dump
        self._loop = loop
        self._history = history or History()
        self._waiting: list[Raw] = []
        self._waiting_bytes = 0
        self._scheduled = False
        self._state: weakref.ref[State] | None = None
        self._keeping = False
        self._failing = False
        self._forgetting: asyncio.TimerHandle | None = None

    def publish(self, payload: Any) -> None:
        if not self._keeping:
            self.sequence += 1
            return
        message = encode_message(payload)
        if len(message) > LARGEST_MESSAGE:
            raise ValueError(f"a message of {len(message)} bytes is over the limit of {LARGEST_MESSAGE}")
        self.sequence += 1
        self._waiting.append(Raw(message))
        self._waiting_bytes += len(message)
        if self._waiting_bytes > FRAME_BYTES:
            self.gather()
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what has been published. Never from within `publish`: the owner may have more to tell of one change."""
        self._scheduled = False
        self.gather()
        for follower in list(self.followers):
            follower.pump()

    def beat(self) -> None:
        """Say to those that have everything that this is all."""
        self.flush()
        for follower in list(self.followers):
            follower.beat()

    def join(self, follower: Follower) -> None:
        """Tell it what is published from now on. Idempotent."""
        if self._forgetting is not None:
            self._forgetting.cancel()
            self._forgetting = None
        self._keeping = True
        self.followers[follower] = None

    def leave(self, follower: Follower) -> None:
        """The connection is lost; for a while its subscriber can go on where it was. Idempotent."""
        if follower in self.followers:
            del self.followers[follower]
            if not self.followers:
                self._forgetting = self._loop.call_later(RESUME_S, self._forget)

    def close(self) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()

    def can_tell(self, sequence: int) -> bool:
        """Whether every message from this one on is there, or it is the next one to be published."""
        return sequence == self.sequence + 1 or self._history.has(sequence)

    def told_with(self, sequence: int) -> Told:
        return self._history.frame_with(sequence)

    def state(self) -> State | None:
        """A dump from which on all messages are there; one that is being sent to another follower if possible.

        None when the owner's function fails; that is logged once until it works again.
        """
        state = self._state() if self._state is not None else None
        if state is not None and self.can_tell(state.sequence + 1):
            return state
        try:
            state = State(self.epoch, self.sequence, [encode_message(payload) for payload in self._dump()])
        except Exception:
            if not self._failing:
                _log.exception("the state of %s cannot be told", self.path)
            self._failing = True
            return None
        self._failing = False
        self._state = weakref.ref(state)
        return state

    def gather(self) -> None:
        """Make a frame of what waits to be sent."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        self._waiting_bytes = 0
        first = self.sequence - len(waiting) + 1
        frame = bytes(encode_frame(Events(self.epoch, first, waiting)))
        self._history.add(Told(first, self.sequence, frame))

    def _forget(self) -> None:
        self._forgetting = None
        self._keeping = False
        self.gather()
        self._history.clear()


class Follower:
    """One subscriber's place in a topic. What it has not taken yet stays in the topic's history, or is dumped anew.

    So a slow one costs no memory of its own but what the connection buffers, and the dump that it is taking.
    """

    def __init__(self, topic: Topic, reader: Reader) -> None:
        self.topic = topic
        self.reader = reader
        self._next = 0
        self._state: State | None = None
        self._part = 0

    def start(self, follow: Follow) -> None:
        """Go on where the subscriber says it is: what is under way to it does not count."""
        self.topic.join(self)
        self._state = None
        self._next = follow.sequence + 1 if follow.epoch == self.topic.epoch else 0
        self.pump()
        self.beat()

    def beat(self) -> None:
        """Say that this is all, if it is and the connection takes it."""
        topic = self.topic
        if self._state is None and self._next == topic.sequence + 1 and not self.reader.paused:
            self.reader.write(bytes(encode_frame(Tip(topic.epoch, topic.sequence))))

    def pump(self) -> None:
        """Send as much as the connection takes."""
        self.topic.gather()
        if self._state is not None and not self.topic.can_tell(self._state.sequence + 1):
            self._state = None
            self._next = 0
        reader = self.reader
        while not (reader.paused or reader.closed) and (frame := self._take_frame()) is not None:
            reader.write(frame)

    def _take_frame(self) -> bytes | None:
        if self._state is None and not self.topic.can_tell(self._next):
            self._part = 0
            self._state = self.topic.state()
            if self._state is None:
                self.reader.close("the state cannot be told")
                return None
        if self._state is not None:
            return self._part_of(self._state)
        if self._next > self.topic.sequence:
            return None
        told = self.topic.told_with(self._next)
        self._next = told.last + 1
        return told.frame

    def _part_of(self, state: State) -> bytes:
        frame = state.frames[self._part]
        self._part += 1
        if self._part == len(state.frames):
            self._state = None
            self._next = state.sequence + 1
        return frame

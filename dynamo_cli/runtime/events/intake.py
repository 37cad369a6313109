"""What a publisher's frames mean to its subscriber: whole, in order and once, whatever comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Raw

from dynamo_cli.runtime.events.base import EventSink
from dynamo_cli.runtime.events.frames import AnyFrame, Events, Follow, Snapshot, Tip


class Intake:
    """The place in one publisher's messages. It outlives connections: `follow` says where to go on."""

    def __init__(self, publisher: int, sink: EventSink, decode: Callable[[Raw], Any]) -> None:
        self.publisher = publisher
        self.whole = False
        self.sequence = 0
        self.resets = 0
        self._sink = sink
        self._decode = decode
        self._epoch = 0
        self._part = 0
        self._known = False

    def follow(self, path: str) -> Follow:
        """What to ask for; half a dump counts for nothing."""
        return Follow(path, self._epoch, self.sequence) if self.whole else Follow(path)

    def take(self, frame: AnyFrame) -> bool:
        """Hand the sink what is new; False when something before it is missing.

        Raises what decoding or the sink raises: then only a new dump makes it whole.
        """
        try:
            if type(frame) is Events:
                return self._take_events(frame)
            if type(frame) is Snapshot:
                return self._take_part(frame)
        except BaseException:
            self.whole = False
            self._epoch = 0
            raise
        return type(frame) is Tip and self._is_at(frame)

    def forget(self) -> None:
        """The publisher is gone, or not to be believed any longer."""
        self.whole = False
        self.sequence = self._epoch = 0
        if self._known:
            self._known = False
            self._sink.on_gone(self.publisher)

    def _take_events(self, frame: Events) -> bool:
        last = frame.first + len(frame.items) - 1
        if not self.whole or frame.epoch != self._epoch:
            return False
        if frame.first != self.sequence + 1:
            return last <= self.sequence
        self._hand_over(frame.items)
        self.sequence = last
        return True

    def _take_part(self, frame: Snapshot) -> bool:
        if frame.part == 0:
            self._begin(frame)
        elif (frame.epoch, frame.sequence) != (self._epoch, self.sequence) or frame.part > self._part:
            return self.whole
        elif frame.part < self._part:
            return True
        self._hand_over(frame.items)
        self._part += 1
        self.whole = self._part >= frame.parts
        return True

    def _begin(self, frame: Snapshot) -> None:
        self.whole = False
        self._epoch, self.sequence, self._part = frame.epoch, frame.sequence, 0
        self._known = True
        self.resets += 1
        self._sink.on_reset(self.publisher)

    def _is_at(self, tip: Tip) -> bool:
        return self.whole and tip.epoch == self._epoch and tip.sequence <= self.sequence

    def _hand_over(self, items: Iterable[Raw]) -> None:
        decode, tell, publisher = self._decode, self._sink.on_event, self.publisher
        for item in items:
            tell(publisher, decode(item))

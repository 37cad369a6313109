"""The latest messages of a topic, for subscribers that have missed some."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from operator import attrgetter
from typing import NamedTuple

MOST_MESSAGES = 65_536
MOST_BYTES = 16 << 20
_FRAME_COST = 256


class Told(NamedTuple):
    """Messages `first` to `last` as a frame, ready to be sent."""

    first: int
    last: int
    frame: bytes


_first = attrgetter("first")


class History:
    """A range without holes, bounded in messages and bytes; the newest frame is always kept."""

    def __init__(self, messages: int = MOST_MESSAGES, size: int = MOST_BYTES) -> None:
        self._most_messages = messages
        self._most_bytes = size
        self._told: deque[Told] = deque()
        self._bytes = 0

    def add(self, told: Told) -> None:
        """The messages that follow the last ones."""
        self._told.append(told)
        self._bytes += len(told.frame) + _FRAME_COST
        while len(self._told) > 1 and self._is_too_much(told.last):
            self._bytes -= len(self._told.popleft().frame) + _FRAME_COST

    def has(self, sequence: int) -> bool:
        return bool(self._told) and self._told[0].first <= sequence <= self._told[-1].last

    def frame_with(self, sequence: int) -> Told:
        """The frame that holds this message, which must be there."""
        if self._told[-1].first <= sequence:
            return self._told[-1]
        return self._told[bisect_right(self._told, sequence, key=_first) - 1]

    def clear(self) -> None:
        self._told.clear()
        self._bytes = 0

    def _is_too_much(self, last: int) -> bool:
        return self._bytes > self._most_bytes or last - self._told[0].first >= self._most_messages

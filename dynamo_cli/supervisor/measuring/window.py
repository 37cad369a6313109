"""The last few seconds of something that is looked at again and again."""

from __future__ import annotations

from collections import deque
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
WINDOW_S = 10.0


class Span(NamedTuple, Generic[T]):
    """Two looks, so many seconds apart."""

    before: T
    now: T
    seconds: float


class Window(Generic[T]):
    """Looks of the last WINDOW_S, and the one before those: a rate is over at least that long as soon as it can be.

    Times are of any clock that does not go back.
    """

    def __init__(self) -> None:
        self._looks: deque[tuple[float, T]] = deque()
        self._life: object = None

    def add(self, at: float, look: T, life: object = None) -> None:
        """What was seen of another `life` does not count any more: its counters began anew."""
        if life != self._life:
            self._looks.clear()
            self._life = life
        looks = self._looks
        looks.append((at, look))
        while len(looks) > 2 and at - looks[1][0] >= WINDOW_S:
            looks.popleft()

    def last(self, now: float) -> T | None:
        """The latest look, None when there is none of the last WINDOW_S and a little more."""
        return self._looks[-1][1] if self._looks and now - self._looks[-1][0] <= 1.5 * WINDOW_S else None

    def span(self) -> Span[T] | None:
        """From the oldest look to the latest, None before there are two."""
        if len(self._looks) < 2:
            return None
        (began, before), (ended, now) = self._looks[0], self._looks[-1]
        return Span(before, now, ended - began) if ended > began else None

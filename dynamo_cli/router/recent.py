"""What each worker was given to compute lately."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp

TIME_CONSTANT_S = 60.0
_LARGEST_EXPONENT = 50.0


class RecentWork:
    """Prompt tokens by worker, those of t seconds ago counting exp(-t / 60).

    `levels` are in a unit that grows with time, so that nothing has to be decayed: `unit(now)` is one token of now.
    """

    def __init__(self, time_constant_s: float = TIME_CONSTANT_S) -> None:
        self._levels: dict[int, float] = {}
        self._time_constant_s = time_constant_s
        self._since = 0.0

    @property
    def levels(self) -> Mapping[int, float]:
        return self._levels

    def unit(self, now: float) -> float:
        exponent = (now - self._since) / self._time_constant_s
        if exponent > _LARGEST_EXPONENT:
            self._rescale(exponent, now)
            return 1.0
        return exp(exponent)

    def add_worker(self, worker: int) -> None:
        """It starts at the mean of the others: it is not owed the work of the last minute."""
        levels = self._levels
        levels[worker] = sum(levels.values()) / len(levels) if levels else 0.0

    def remove_worker(self, worker: int) -> None:
        self._levels.pop(worker, None)

    def add(self, worker: int, tokens: float, now: float) -> None:
        if worker in self._levels:
            amount = tokens * self.unit(now)
            self._levels[worker] += amount

    def _rescale(self, exponent: float, now: float) -> None:
        shrink = exp(-min(exponent, 700.0))
        for worker in self._levels:
            self._levels[worker] *= shrink
        self._since = now

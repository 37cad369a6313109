from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field


@dataclass(slots=True)
class Histogram:
    """Counts per bucket. `bounds` are the buckets' upper ends, ascending; one more bucket takes what is above them.

    msgspec encodes it as it is; a Struct of its own would make `observe` twice as slow.
    """

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)
        if len(self.counts) != len(self.bounds) + 1:
            raise ValueError(f"{len(self.counts)} counts for {len(self.bounds)} bounds")

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def __add__(self, other: Histogram) -> Histogram:
        """Exact: of different bounds those remain that both have."""
        bounds = self.bounds if self.bounds == other.bounds else tuple(sorted({*self.bounds} & {*other.bounds}))
        pairs = zip(self._within(bounds), other._within(bounds), strict=True)
        return Histogram(bounds, [one + two for one, two in pairs], self.sum + other.sum)

    def _within(self, bounds: tuple[float, ...]) -> list[int]:
        """The counts with some of the bounds left out."""
        if bounds == self.bounds:
            return self.counts
        counts = [0] * (len(bounds) + 1)
        for bound, count in zip(self.bounds, self.counts, strict=False):
            counts[bisect_left(bounds, bound)] += count
        counts[-1] += self.counts[-1]
        return counts

from __future__ import annotations

from bisect import bisect_left

FIRST_TOKEN_S = (
    0.001,
    0.0022,
    0.0047,
    0.01,
    0.022,
    0.047,
    0.1,
    0.22,
    0.47,
    1.0,
    2.2,
    4.7,
    10.0,
    22.0,
    47.0,
    100.0,
    220.0,
    480.0,
)
BETWEEN_TOKENS_S = (0.0005, 0.001, 0.002, 0.004, 0.006, 0.009, 0.013, 0.02, 0.03, 0.045, 0.07, 0.1, 0.2, 0.5, 1.0, 2.0)
DURATION_S = (0.001, 0.0047, 0.01, 0.022, 0.047, 0.1, 0.22, 0.47, 1.0, 2.2, 4.7, 10.0, 22.0, 47.0, 100.0, 220.0, 480.0)
TOKENS = tuple(float(2**power) for power in range(4, 18))
PREPROCESS_S = (0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)


class Histogram:
    """Counts per bucket; `bounds` are the buckets' upper ends."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

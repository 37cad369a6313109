"""Which load level to measure next, from those that were. Pure: nothing here measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

START_RATE = 1.0
PRECISION = 0.05
LOWEST_RATE = 0.01
MOST_PROBES = 24
RISE = 1.05
MOST_CONCURRENCY = 4096


class Probe(NamedTuple):
    """`met`: whether the level of `rate` requests per second met the objective. `alone`: no two requests overlapped."""

    rate: float
    met: bool
    alone: bool = False


def bracket(tried: Sequence[Probe]) -> tuple[float, float]:
    """The highest rate that met it below all that missed it (0 without one), and the lowest that missed it (infinite
    without one). A rate above one that missed counts for nothing: noise let it pass."""
    missed = min((probe.rate for probe in tried if not probe.met), default=math.inf)
    met = max((probe.rate for probe in tried if probe.met and probe.rate < missed), default=0.0)
    return met, missed


def next_rate(tried: Sequence[Probe], start: float = START_RATE) -> float | None:
    """Doubles (or halves) from `start` until the limit is between two rates, then bisects until they are 5 % apart.

    None, too, when requests that had the server to themselves missed it: no lower rate is kinder.
    """
    met, missed = bracket(tried)
    if not tried:
        return start
    if len(tried) >= MOST_PROBES or any(probe.alone and not probe.met for probe in tried):
        return None
    if math.isinf(missed):
        return met * 2
    if not met:
        return missed / 2 if missed / 2 >= LOWEST_RATE else None
    return None if missed <= met * (1 + PRECISION) else float(f"{(met + missed) / 2:.3g}")


def next_concurrency(tried: Sequence[tuple[int, float]]) -> int | None:
    """Doubles from 1 until throughput, the second of each pair, rises by less than 5 %."""
    if not tried:
        return 1
    best_before = max((throughput for _, throughput in tried[:-1]), default=0.0)
    concurrency, throughput = tried[-1]
    if throughput <= best_before * RISE or concurrency >= MOST_CONCURRENCY:
        return None
    return concurrency * 2


def knee(tried: Sequence[tuple[int, float]]) -> int:
    """The lowest concurrency within 5 % of the highest throughput."""
    best = max(throughput for _, throughput in tried)
    return min(concurrency for concurrency, throughput in tried if throughput * RISE >= best)

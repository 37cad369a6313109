"""Percentiles and moments of many values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from dynamo_cli.bench.report.model import Spread

PERCENTILES = {
    "p1": 1.0,
    "p5": 5.0,
    "p10": 10.0,
    "p25": 25.0,
    "p50": 50.0,
    "p75": 75.0,
    "p90": 90.0,
    "p95": 95.0,
    "p99": 99.0,
    "p999": 99.9,
}


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Of sorted values, by linear interpolation between the two nearest ranks, as numpy and vLLM do by default."""
    position = (len(ordered) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def spread(values: Iterable[float]) -> Spread | None:
    """None without values. `std` is that of the values themselves (divided by n), as in vLLM's report."""
    ordered = sorted(values)
    if not ordered:
        return None
    mean = math.fsum(ordered) / len(ordered)
    variance = math.fsum((value - mean) ** 2 for value in ordered) / len(ordered)
    ranks = {name: round(percentile(ordered, percent), 3) for name, percent in PERCENTILES.items()}
    return Spread(
        mean=round(mean, 3),
        std=round(math.sqrt(variance), 3),
        min=round(ordered[0], 3),
        max=round(ordered[-1], 3),
        **ranks,
    )

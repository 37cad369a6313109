"""Whether something grows: slopes of what was sampled. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

JUDGED_MINUTES = 3.0
"""A slope of less time says nothing."""
LIFE_S = 60.0
"""Nor does a life that ends sooner after its warm-up."""


class Point(NamedTuple):
    """`of`: what was sampled, such as ("frontend", "memory"). `life`: the process; its successor is another one."""

    of: tuple[str, str]
    life: int
    at_s: float
    value: float


class Growth(msgspec.Struct, kw_only=True):
    """`per_minute`: within a life, after its warm-up, all lives taken together; None when no life was long enough."""

    who: str
    what: str
    first: float
    last: float
    most: float
    per_minute: float | None
    limit: float
    judged: bool

    @property
    def met(self) -> bool:
        return not self.judged or self.per_minute is None or self.per_minute <= self.limit


LIMITS = {"memory MB": 0.5, "descriptors": 0.25, "threads": 0.25, "files": 0.25, "processes": 0.25}
"""Per minute."""


def growths(points: Iterable[Point], warm_up_s: float) -> list[Growth]:
    """One of each thing that was sampled, in the order in which these came."""
    series: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in points:
        series[point.of].append(point)
    return [_growth(of, found, warm_up_s) for of, found in series.items()]


def per_minute(points: Sequence[Point], warm_up_s: float) -> float | None:
    """The least-squares slope common to all lives, each with a level of its own."""
    lives: dict[int, list[Point]] = defaultdict(list)
    for point in points:
        lives[point.life].append(point)
    covariance = variance = 0.0
    for life in lives.values():
        warm = [point for point in life if point.at_s >= life[0].at_s + warm_up_s]
        if not warm or warm[-1].at_s - warm[0].at_s < LIFE_S:
            continue
        mean_at = sum(point.at_s for point in warm) / len(warm)
        mean = sum(point.value for point in warm) / len(warm)
        covariance += sum((point.at_s - mean_at) * (point.value - mean) for point in warm)
        variance += sum((point.at_s - mean_at) ** 2 for point in warm)
    return 60 * covariance / variance if variance else None


def _growth(of: tuple[str, str], points: Sequence[Point], warm_up_s: float) -> Growth:
    slope = per_minute(points, warm_up_s)
    minutes = (points[-1].at_s - points[0].at_s) / 60
    return Growth(
        who=of[0],
        what=of[1],
        first=points[0].value,
        last=points[-1].value,
        most=max(point.value for point in points),
        per_minute=None if slope is None else round(slope, 4),
        limit=LIMITS[of[1]],
        judged=minutes >= JUDGED_MINUTES,
    )

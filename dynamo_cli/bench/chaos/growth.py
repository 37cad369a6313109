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
    """`per_minute`: within a life, after its warm-up, all lives taken together; None when no life was long enough.

    `rise`: that slope over the longest of these lives.
    """

    who: str
    what: str
    first: float
    last: float
    most: float
    per_minute: float | None
    rise: float
    limit: float
    judged: bool

    @property
    def met(self) -> bool:
        slope = self.per_minute
        return not self.judged or slope is None or slope <= self.limit or self.rise <= NOISE[self.what]


LIMITS = {"memory MB": 0.5, "descriptors": 0.25, "threads": 0.25, "files": 0.25, "processes": 0.25}
"""Per minute."""
NOISE = {"memory MB": 3.0, "descriptors": 4.0, "threads": 4.0, "files": 4.0, "processes": 2.0}
"""Of a whole life: connections and log files come and go with the processes that are killed, pools of threads grow to
their size as they are needed, and resident memory keeps the level of the most that was ever in flight at once, which
differs by 2 MB from one minute to the next. What each fault leaves one of is more: there are 12 in two minutes."""


def growths(points: Iterable[Point], warm_up_s: float) -> list[Growth]:
    """One of each thing that was sampled, in the order in which these came."""
    series: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in points:
        series[point.of].append(point)
    return [_growth(of, found, warm_up_s) for of, found in series.items()]


def per_minute(points: Sequence[Point], warm_up_s: float) -> float | None:
    """The least-squares slope common to all lives, each with a level of its own."""
    return _slope(_warm_lives(points, warm_up_s))


def _warm_lives(points: Sequence[Point], warm_up_s: float) -> list[list[Point]]:
    lives: dict[int, list[Point]] = defaultdict(list)
    for point in points:
        lives[point.life].append(point)
    warm = ([point for point in life if point.at_s >= life[0].at_s + warm_up_s] for life in lives.values())
    return [life for life in warm if life and life[-1].at_s - life[0].at_s >= LIFE_S]


def _slope(lives: Sequence[Sequence[Point]]) -> float | None:
    covariance = variance = 0.0
    for life in lives:
        mean_at = sum(point.at_s for point in life) / len(life)
        mean = sum(point.value for point in life) / len(life)
        covariance += sum((point.at_s - mean_at) * (point.value - mean) for point in life)
        variance += sum((point.at_s - mean_at) ** 2 for point in life)
    return 60 * covariance / variance if variance else None


def _growth(of: tuple[str, str], points: Sequence[Point], warm_up_s: float) -> Growth:
    lives = _warm_lives(points, warm_up_s)
    slope = _slope(lives)
    longest = max((life[-1].at_s - life[0].at_s for life in lives), default=0.0) / 60
    return Growth(
        who=of[0],
        what=of[1],
        first=points[0].value,
        last=points[-1].value,
        most=max(point.value for point in points),
        per_minute=None if slope is None else round(slope, 4),
        rise=round((slope or 0.0) * longest, 3),
        limit=LIMITS[of[1]],
        judged=(points[-1].at_s - points[0].at_s) / 60 >= JUDGED_MINUTES,
    )

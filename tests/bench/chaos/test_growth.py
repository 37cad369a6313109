from __future__ import annotations

from collections.abc import Callable

import pytest

from dynamo_cli.bench.chaos.growth import Point, growths, per_minute

MEMORY = ("worker", "memory MB")


def life(number: int, begins_s: int, ends_s: int, value: Callable[[int], float]) -> list[Point]:
    return [Point(MEMORY, number, at, value(at - begins_s)) for at in range(begins_s, ends_s, 2)]


def test_the_slope_is_that_of_the_lives_not_of_their_levels() -> None:
    points = life(1, 0, 200, lambda age: 50 + age / 60) + life(2, 200, 400, lambda age: 10 + age / 60)
    assert per_minute(points, 0.0) == pytest.approx(1.0)


def test_a_warm_up_is_no_growth() -> None:
    def warming(age: int) -> float:
        return 50.0 + min(age, 60)

    points = life(1, 0, 400, warming) + life(2, 0, 50, warming)
    assert per_minute(points, 60.0) == pytest.approx(0.0)
    assert per_minute(points, 0.0) or 0 > 1.0


def test_what_lived_too_short_a_time_has_no_slope() -> None:
    assert per_minute(life(1, 0, 50, lambda age: age), 60.0) is None


@pytest.mark.parametrize(
    ("seconds", "slope", "met"), [(400, 1.0, False), (400, 0.1, True), (100, 5.0, True), (190, 0.4, True)]
)
def test_a_growth_is_judged_when_it_was_watched_for_long(seconds: int, slope: float, met: bool) -> None:
    (growth,) = growths(life(1, 0, seconds, lambda age: 50 + slope * age / 60), 20.0)
    assert (growth.who, growth.what, growth.first, growth.met) == (*MEMORY, 50.0, met)

"""Quantiles of histograms, against the observations themselves and against Prometheus' words on the matter."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.runtime.histogram import Histogram
from dynamo_cli.supervisor.measuring.buckets import Buckets, grown

BOUNDS = (0.0, 0.1, 0.5, 2.0)
numbers = st.floats(min_value=0.0, max_value=5.0)


def buckets(observations: list[float], bounds: tuple[float, ...] = BOUNDS) -> Buckets:
    upper = (*bounds, math.inf)
    return Buckets(upper, tuple(float(sum(one <= bound for one in observations)) for bound in upper))


@given(st.lists(numbers, min_size=1, max_size=50), st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_in_the_bucket_of_the_observation_it_stands_for(found: list[float], share: float) -> None:
    exact = sorted(found)[max(0, math.ceil(share * len(found)) - 1)]
    told = buckets(found).quantile(share)
    assert told is not None
    if exact > BOUNDS[-1]:
        assert told == BOUNDS[-1]
        return
    upper = next(bound for bound in BOUNDS if exact <= bound)
    lower = max((bound for bound in BOUNDS if bound < upper), default=0.0)
    assert lower - 1e-9 <= told <= upper + 1e-9


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.75, 0.99])
def test_of_observations_that_are_spread_evenly_it_is_exact(share: float) -> None:
    found = [(at + 0.5) / 100_000 for at in range(100_000)]
    assert buckets(found, (0.25, 0.5, 1.0)).quantile(share) == pytest.approx(share, abs=1e-4)


def test_the_example_of_prometheus() -> None:
    """Ten requests, five up to 0.1 and five up to 0.5: the 90th percentile is 4/5 of the way through the second."""
    assert Buckets((0.1, 0.5, math.inf), (5, 10, 10)).quantile(0.9) == pytest.approx(0.1 + 0.4 * 0.8)


@pytest.mark.parametrize(
    "empty", [Buckets(), Buckets((0.1, math.inf), (0, 0)), Buckets((0.1, 1.0), (1, 2)), Buckets((math.inf,), (3,))]
)
def test_of_nothing_there_is_none(empty: Buckets) -> None:
    assert empty.quantile(0.5) is None


@given(st.lists(numbers), st.lists(numbers))
def test_what_came_since_is_what_came_since(before: list[float], later: list[float]) -> None:
    assert buckets([*before, *later]).since(buckets(before)) == buckets(later)


def test_a_histogram_that_began_anew_counts_whole() -> None:
    old, new = buckets([0.05] * 10), buckets([0.3, 0.05])
    assert new.since(old) == new
    other_bounds = buckets([0.05] * 20, (1.0,))
    assert other_bounds.since(old) == other_bounds
    assert new.since(Buckets()) == new


def test_a_counter_never_shrinks() -> None:
    assert [grown(3, 5), grown(5, 5), grown(5, 2)] == [2, 0, 2]


def test_they_hold_what_a_histogram_of_ours_tells() -> None:
    histogram = Histogram(BOUNDS)
    for value in (0.05, 0.3, 9.0):
        histogram.observe(value)
    total, counts = 0, []
    for count in histogram.counts:
        total += count
        counts.append(float(total))
    assert buckets([0.05, 0.3, 9.0]).counts == tuple(counts)

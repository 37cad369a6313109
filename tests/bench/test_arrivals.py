"""The times of an open loop, without a clock."""

from __future__ import annotations

import random
from itertools import islice, pairwise, takewhile
from statistics import mean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.bench.load.arrivals import ARRIVALS, due_times


def times(arrivals: str, rate: float, count: int, *, seed: int = 1, **more: float) -> list[float]:
    return list(islice(due_times(arrivals, rate, rng=random.Random(seed), **more), count))


def variation(dues: list[float]) -> float:
    """Standard deviation of the gaps over their mean: 1 for a Poisson process, 1/sqrt(shape) for a gamma one."""
    gaps = [after - before for before, after in pairwise(dues)]
    return pstdev(gaps) / mean(gaps)


@given(st.sampled_from(ARRIVALS), st.floats(0.01, 1e4), st.floats(0.05, 20), st.floats(0, 100), st.integers(0, 2**32))
def test_times_never_go_back_and_a_seed_gives_the_same(
    arrivals: str, rate: float, burstiness: float, ramp_s: float, seed: int
) -> None:
    more = {"burstiness": burstiness, "ramp_s": ramp_s}
    dues = times(arrivals, rate, 50, seed=seed, **more)
    assert dues == sorted(dues)
    assert dues[0] >= 0
    assert dues == times(arrivals, rate, 50, seed=seed, **more)


def test_constant_times_do_not_drift() -> None:
    assert times("constant", 8, 4000)[::1000] == [0, 125, 250, 375]


@pytest.mark.parametrize(
    ("arrivals", "burstiness", "expected"),
    [("poisson", 1, 1.0), ("gamma", 1, 1.0), ("gamma", 0.25, 2.0), ("gamma", 4, 0.5)],
)
def test_rate_and_variation_of_random_arrivals(arrivals: str, burstiness: float, expected: float) -> None:
    dues = times(arrivals, 50, 20_000, burstiness=burstiness)
    assert len(dues) / dues[-1] == pytest.approx(50, rel=0.05)
    assert variation(dues) == pytest.approx(expected, rel=0.05)


def test_a_ramp_rises_linearly_to_the_rate() -> None:
    dues = times("constant", 100, 2_000, ramp_s=10)
    in_ramp = [len(list(takewhile(lambda due, end=end: due < end, dues))) for end in (5, 10)]
    assert in_ramp == [pytest.approx(125, abs=1), pytest.approx(500, abs=1)]
    after = [due for due in dues if due > 10]
    assert after[100] - after[0] == pytest.approx(1)

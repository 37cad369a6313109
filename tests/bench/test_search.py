"""Which level a search measures next, against systems that exist only as a function."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.bench.search import LOWEST_RATE, MOST_PROBES, Probe, bracket, knee, next_concurrency, next_rate


def searched(meets: Callable[[float], bool], start: float = 1.0) -> list[Probe]:
    tried: list[Probe] = []
    while (rate := next_rate(tried, start)) is not None:
        tried.append(Probe(rate, meets(rate)))
    return tried


@given(st.floats(0.1, 5000), st.floats(0.1, 100))
def test_the_limit_ends_between_two_rates_close_together(limit: float, start: float) -> None:
    tried = searched(lambda rate: rate <= limit, start)
    met, missed = bracket(tried)
    assert met <= limit < missed
    assert missed <= met * 1.051
    assert len(tried) == len(set(tried)) <= MOST_PROBES


def test_a_system_without_a_limit_ends_the_search() -> None:
    tried = searched(lambda rate: True)
    assert len(tried) == MOST_PROBES
    assert bracket(tried) == (2.0 ** (MOST_PROBES - 1), float("inf"))


def test_a_system_that_never_meets_it_ends_the_search() -> None:
    tried = searched(lambda rate: False)
    assert bracket(tried)[0] == 0
    assert min(probe.rate for probe in tried) >= LOWEST_RATE


def test_no_lower_rate_is_tried_when_requests_alone_miss_it() -> None:
    assert next_rate([Probe(8, False), Probe(4, False)]) == 2
    assert next_rate([Probe(8, False), Probe(4, False, alone=True)]) is None


@given(st.integers(0, 2**32))
def test_noise_never_makes_it_loop_or_claim_a_rate_above_one_that_missed(seed: int) -> None:
    rng = random.Random(seed)
    tried = searched(lambda rate: rng.random() < 0.5)
    met, _ = bracket(tried)
    assert all(probe.rate > met for probe in tried if not probe.met)
    assert len(tried) <= MOST_PROBES


@pytest.mark.parametrize("capacity", [1, 6, 64, 300])
def test_the_knee_of_a_system_with_a_capacity(capacity: int) -> None:
    tried: list[tuple[int, float]] = []
    while (level := next_concurrency(tried)) is not None:
        tried.append((level, min(level, capacity) * 10.0))
    levels = [level for level, _ in tried]
    assert levels == [2**n for n in range(len(levels))]
    assert capacity <= knee(tried) * 1.05 < 2.1 * capacity
    assert levels[-1] == knee(tried) * 2


def test_a_system_that_answers_nothing_ends_the_sweep() -> None:
    assert next_concurrency([(1, 0.0)]) is None

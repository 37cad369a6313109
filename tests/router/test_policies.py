from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import InvalidRequest, UsageError
from dynamo_cli.router.policies import MODES, Policy, check_mode, make_policy

CHOOSING = [mode for mode in MODES if mode != "direct"]


def policy(mode: str, seed: int = 1) -> Policy:
    return make_policy(mode, random.Random(seed))


@pytest.mark.parametrize("mode", CHOOSING)
@given(
    candidates=st.lists(st.integers(1, 2**63), min_size=1, max_size=9, unique=True),
    loads=st.lists(st.integers(0, 5), min_size=9, max_size=9),
    calls=st.integers(1, 20),
)
def test_picks_a_candidate_whatever_the_set(mode: str, candidates: list[int], loads: list[int], calls: int) -> None:
    chooser = policy(mode)
    inflight = dict(zip(candidates, loads, strict=False))
    for size in range(calls):
        subset = candidates[: 1 + size % len(candidates)]
        assert chooser.pick(subset, inflight) in subset


@pytest.mark.parametrize("mode", CHOOSING)
def test_idle_instances_are_used_evenly(mode: str) -> None:
    chooser = policy(mode)
    picks = Counter(chooser.pick([1, 2, 3, 4], {}) for _ in range(1000))
    chi_square = sum((picks[i] - 250) ** 2 / 250 for i in (1, 2, 3, 4))
    assert chi_square < 16.3  # 3 degrees of freedom, p = 0.001


def test_round_robin_takes_turns() -> None:
    chooser = policy("round-robin")
    picks = [chooser.pick([1, 2, 3], {}) for _ in range(6)]
    assert picks[:3] == picks[3:]
    assert sorted(picks[:3]) == [1, 2, 3]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 99))
def test_least_loaded_never_picks_a_busier_one(loads: list[int], seed: int) -> None:
    inflight = dict(enumerate(loads))
    picked = policy("least-loaded", seed).pick(list(inflight), inflight)
    assert inflight[picked] == min(loads)


def test_power_of_two_avoids_the_busiest_and_draws_distinct_pairs() -> None:
    chooser = policy("power-of-two")
    picks = Counter(chooser.pick([1, 2, 3], {1: 9, 2: 1, 3: 0}) for _ in range(3000))
    assert picks[1] == 0
    assert 0.6 < picks[3] / 3000 < 0.73  # wins both pairs it is in: 2/3


def test_direct_wants_an_instance() -> None:
    with pytest.raises(InvalidRequest, match="x-worker-instance-id") as caught:
        policy("direct").pick([1], {})
    assert caught.value.param == "nvext.backend_instance_id"


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("kv", "kv is not available yet; use round-robin"),
        ("rond-robin", "did you mean round-robin"),
        ("x", "use one of"),
    ],
)
def test_unusable_modes_are_refused_in_one_line(mode: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        check_mode(mode)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dynamo_cli.errors import InvalidRequest, UsageError
from dynamo_cli.router.index import Overlaps
from dynamo_cli.router.policies import MODES, POLICIES, Policy, check_mode, make_policy
from dynamo_cli.router.policies.base import ANY, RoutingRequest, State
from dynamo_cli.router.selection import drawn


def policy(name: str, seed: int = 1) -> Policy:
    return make_policy(name, random.Random(seed))


def pick(chooser: Policy, candidates: list[int], inflight: dict[int, int] | None = None) -> int:
    return chooser.decide(ANY, candidates, State(inflight or {}), 0.0).worker


counters = st.lists(st.integers(0, 5), min_size=9, max_size=9)


@pytest.mark.parametrize("name", POLICIES)
@given(
    candidates=st.lists(st.integers(1, 2**63), min_size=1, max_size=9, unique=True),
    loads=counters,
    queued=counters,
    found=counters,
    calls=st.integers(1, 20),
)
def test_picks_a_candidate_whatever_the_state(
    name: str, candidates: list[int], loads: list[int], queued: list[int], found: list[int], calls: int
) -> None:
    chooser = policy(name)
    by_worker = [dict(zip(candidates, figures, strict=False)) for figures in (loads, queued, found)]
    inflight, prefill, overlap = by_worker
    state = State(inflight, prefill, stored=Overlaps(overlap, overlap, {}), predicted=overlap, block_size=16)
    request = RoutingRequest(hashes=list(range(9)), tokens=150, request_id="r")
    for size in range(calls):
        subset = candidates[: 1 + size % len(candidates)]
        decision = chooser.decide(request, subset, state, float(size))
        assert decision.worker in subset
        assert 0 <= decision.overlap_blocks <= overlap[decision.worker]
        assert decision.costs is None or len(decision.costs) == len(subset)


@pytest.mark.parametrize("name", POLICIES)
def test_idle_instances_are_used_evenly(name: str) -> None:
    chooser = policy(name)
    picks = Counter(pick(chooser, [1, 2, 3, 4]) for _ in range(1000))
    chi_square = sum((picks[i] - 250) ** 2 / 250 for i in (1, 2, 3, 4))
    assert chi_square < 16.3  # 3 degrees of freedom, p = 0.001


@pytest.mark.parametrize("name", POLICIES)
def test_the_same_seed_makes_the_same_choices(name: str) -> None:
    one, other = policy(name, 5), policy(name, 5)
    loads = random.Random(0)
    for _ in range(200):
        inflight = {worker: loads.randrange(3) for worker in range(6)}
        assert pick(one, list(range(6)), inflight) == pick(other, list(range(6)), inflight)


def test_round_robin_takes_turns() -> None:
    chooser = policy("round-robin")
    picks = [pick(chooser, [1, 2, 3]) for _ in range(6)]
    assert picks[:3] == picks[3:]
    assert sorted(picks[:3]) == [1, 2, 3]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 99))
def test_least_loaded_never_picks_a_busier_one(loads: list[int], seed: int) -> None:
    inflight = dict(enumerate(loads))
    picked = pick(policy("least-loaded", seed), list(inflight), inflight)
    assert inflight[picked] == min(loads)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 99))
def test_least_tokens_never_picks_a_longer_queue(queued: list[int], seed: int) -> None:
    tokens = dict(enumerate(queued))
    decision = policy("least-tokens", seed).decide(ANY, list(tokens), State(prefill_tokens=tokens), 0.0)
    assert tokens[decision.worker] == min(queued)


def test_power_of_two_avoids_the_busiest_and_draws_distinct_pairs() -> None:
    chooser = policy("power-of-two")
    picks = Counter(pick(chooser, [1, 2, 3], {1: 9, 2: 1, 3: 0}) for _ in range(3000))
    assert picks[1] == 0
    assert 0.6 < picks[3] / 3000 < 0.73  # wins both pairs it is in: 2/3


def test_direct_wants_an_instance() -> None:
    with pytest.raises(InvalidRequest, match="x-worker-instance-id") as caught:
        pick(policy("direct"), [1])
    assert caught.value.param == "nvext.backend_instance_id"


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("rond-robin", "did you mean round-robin"),
        ("x", "use one of"),
    ],
)
def test_unusable_modes_are_refused_in_one_line(mode: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        check_mode(mode)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_what_a_frontend_offers_can_be_made() -> None:
    for name in {*MODES, *POLICIES}:
        assert isinstance(make_policy(name, random.Random(0)), Policy)
    with pytest.raises(UsageError, match="unknown router mode"):
        make_policy("nonsense", random.Random(0))


@example([0.0, 0.25], 5e-324, 0)
@example([0.0, 10.0, 20.0], 5e-324, 0)
@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=6), st.floats(0, 1e-6), st.integers(0, 99))
def test_next_to_no_temperature_draws_the_cheapest(costs: list[float], temperature: float, seed: int) -> None:
    spread = max(costs) - min(costs)
    drawn_cost = costs[drawn(costs, temperature, random.Random(seed))]
    assert drawn_cost - min(costs) <= 100 * temperature * spread

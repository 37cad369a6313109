"""The reference's cost, figure by figure."""

from __future__ import annotations

import random
from collections import Counter
from math import exp

import pytest

from dynamo_cli.router.index import Overlaps
from dynamo_cli.router.policies.base import Overrides, RoutingRequest, State
from dynamo_cli.router.policies.reference import Reference, ReferenceOptions
from dynamo_cli.router.selection import cheapest, drawn

WORKERS = [1, 2, 3]
TEN_BLOCKS = RoutingRequest(hashes=list(range(10)), tokens=160, request_id="r")


def costs(state: State, request: RoutingRequest = TEN_BLOCKS, **options: float) -> list[float]:
    decided = Reference(random.Random(0), ReferenceOptions(**options)).decide(request, WORKERS, state, 0.0)
    assert decided.costs is not None
    assert decided.costs[WORKERS.index(decided.worker)] == min(decided.costs)
    return list(decided.costs)


def found(*blocks: int, **tiers: dict[int, int]) -> Overlaps:
    return Overlaps(dict(zip(WORKERS, blocks, strict=False)), tiers.get("host", {}), tiers.get("disk", {}))


def in_use(*blocks: int) -> dict[int, int]:
    """Blocks in use before the request, so that with it (all in flight there already) they are as many."""
    return dict(zip(WORKERS, blocks, strict=True))


ALL_IN_FLIGHT = dict.fromkeys(WORKERS, 10)


def test_worked_example() -> None:
    """10 blocks to compute, 2/5/8 of them found, 10/5/9 in use: 18, 10, 11. The largest overlap does not win."""
    state = State(blocks=in_use(10, 5, 9), predicted=ALL_IN_FLIGHT, stored=found(2, 5, 8), block_size=16)
    assert costs(state) == [18, 10, 11]
    decision = Reference(random.Random(0)).decide(TEN_BLOCKS, WORKERS, state, 0.0)
    assert (decision.worker, decision.overlap_blocks) == (2, 5)


def test_blocks_in_use_include_what_the_request_adds() -> None:
    state = State(blocks={1: 4}, generated={2: 1.5}, predicted={1: 4}, block_size=16)
    assert costs(state) == [10 + 4 + 6, 10 + 10 + 1.5, 10 + 10]


def test_queued_prompts_count_in_fractions_of_blocks_and_nothing_below_zero() -> None:
    state = State(prefill_tokens={1: 8, 2: 80}, predicted=ALL_IN_FLIGHT, stored=found(10, 10, 12), block_size=16)
    assert costs(state) == [0.5, 5, 0]


def test_scale_requests_and_slower_tiers() -> None:
    stored = found(2, 0, 0, host={1: 4, 2: 4}, disk={2: 4})
    state = State(inflight={3: 6}, predicted=ALL_IN_FLIGHT, stored=stored, block_size=16)
    assert costs(state, prefill_load_scale=2.0, decode_active_request_weight=0.5) == [2 * 5.0, 2 * 6.0, 2 * 10 + 3]


def test_credit_decays_with_what_is_queued_beyond_the_least() -> None:
    state = State(
        prefill_tokens={1: 160, 2: 320, 3: 160}, predicted=ALL_IN_FLIGHT, stored=found(4, 4, 0), block_size=16
    )
    assert costs(state, decay_rate=1.0) == [20 - 4, 30 - 2, 20]


def test_one_request_may_want_otherwise() -> None:
    state = State(blocks=in_use(10, 5, 9), predicted=ALL_IN_FLIGHT, stored=found(2, 5, 8), block_size=16)
    without = RoutingRequest(TEN_BLOCKS.hashes, 160, "r", overrides=Overrides(overlap_credit=0.0))
    assert costs(state, without) == [20, 15, 19]
    hot = RoutingRequest(TEN_BLOCKS.hashes, 160, "r", overrides=Overrides(temperature=1.0))
    policy = Reference(random.Random(0))
    assert {policy.decide(hot, WORKERS, state, 0.0).worker for _ in range(200)} == {1, 2, 3}
    assert {policy.decide(TEN_BLOCKS, WORKERS, state, 0.0).worker for _ in range(200)} == {2}


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_softmax_over_scaled_costs(temperature: float) -> None:
    rng, spread = random.Random(3), [18.0, 10.0, 11.0, 14.0]
    weights = [exp(-(cost - 10) / 8 / temperature) for cost in spread]
    picks = Counter(drawn(spread, temperature, rng) for _ in range(20_000))
    expected = [20_000 * weight / sum(weights) for weight in weights]
    chi_square = sum((picks[place] - expected[place]) ** 2 / expected[place] for place in range(4))
    assert chi_square < 16.3  # 3 degrees of freedom, p = 0.001


def test_ties_and_equal_costs_are_even() -> None:
    rng = random.Random(4)
    ties = Counter(cheapest([3.0, 1.0, 1.0, 2.0, 1.0], rng) for _ in range(9000))
    assert set(ties) == {1, 2, 4}
    assert all(2800 < count < 3200 for count in ties.values())
    equal = Counter(drawn([7.0, 7.0], 1.0, rng) for _ in range(9000))
    assert all(4300 < count < 4700 for count in equal.values())

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.router.index import ApproximateIndex
from tests.router.index.model import Chains


def index_of(*workers: int, capacity: int = 0, **options: float) -> ApproximateIndex:
    index = ApproximateIndex(**options)  # type: ignore[arg-type]
    for worker in workers:
        index.add_worker(worker, capacity)
    return index


def test_what_was_routed_is_there_until_its_time_is_over() -> None:
    index = index_of(1, 2)
    index.routed(1, [10, 11, 12], 0.0)
    assert index.overlaps([10, 11, 99], 119.9) == {1: 2}
    assert index.overlaps([10, 11, 99], 120.0) == {}
    assert len(index) == 0


def test_touching_renews_what_was_touched_and_no_more() -> None:
    index = index_of(1)
    index.routed(1, [10, 11, 12], 0.0)
    index.routed(1, [10, 11, 77], 100.0)
    assert index.overlaps([10, 11, 12], 119.0) == {1: 3}
    assert index.overlaps([10, 11, 12], 130.0) == {1: 2}
    assert index.overlaps([10, 11, 77], 219.0) == {1: 3}
    assert index.overlaps([10], 220.0) == {}


def test_a_worker_holds_no_more_than_it_says_and_the_end_of_the_oldest_goes_first() -> None:
    index = index_of(1, capacity=10)
    index.routed(1, list(range(6)), 0.0)
    index.routed(1, list(range(100, 106)), 1.0)
    assert len(index) == 10
    assert index.overlaps(list(range(6)), 2.0) == {1: 4}
    assert index.overlaps(list(range(100, 106)), 2.0) == {1: 6}


def test_size_limit_prunes_to_its_ratio_soonest_to_expire_first() -> None:
    index = index_of(1, 2, max_blocks=1000, prune_ratio=0.8)
    for at in range(100):
        index.routed(1 + at % 2, list(range(at * 10, at * 10 + 10)), float(at))
    assert len(index) == 1000
    index.routed(1, [5000], 100.0)
    assert len(index) == 800
    assert index.overlaps(list(range(10)), 100.0) == {}
    assert index.overlaps(list(range(990, 1000)), 100.0) == {2: 10}


def test_a_large_prune_is_spread_over_requests() -> None:
    index = index_of(1, max_blocks=100_000, prune_ratio=0.5)
    for at in range(1001):
        index.routed(1, list(range(at * 100, at * 100 + 100)), 0.0)
    before = len(index)
    index.routed(1, [-1], 0.0)
    assert 0 < before - len(index) < 3000
    for at in range(40):
        index.routed(1, [-2 - at], 0.0)
    assert len(index) <= 50_050


def test_workers_come_and_go() -> None:
    index = index_of(1)
    index.routed(9, [1, 2], 0.0)
    assert index.overlaps([1, 2], 0.0) == {}
    index.routed(1, [1, 2], 0.0)
    index.add_worker(1, 0)
    assert index.overlaps([1, 2], 0.0) == {}
    index.routed(1, [1], 50.0)
    assert index.overlaps([1, 2], 130.0) == {1: 1}
    index.remove_worker(1)
    assert index.overlaps([1], 130.0) == {} and len(index) == 0


@pytest.mark.parametrize("capacity", [0, 300])
@given(seed=st.integers(0, 1 << 30))
def test_agrees_with_the_last_touch_of_every_block(capacity: int, seed: int) -> None:
    """The model keeps a time for each block; capacity is the least recently touched going first."""
    rng = random.Random(seed)
    chains = Chains(rng, branches=2, longest=30)
    index = index_of(1, 2, 3, capacity=capacity)
    touched: dict[int, dict[int, tuple[float, int, int]]] = {1: {}, 2: {}, 3: {}}
    now = 0.0
    for turn in range(60):
        now += rng.choice((0.0, 1.0, 10.0, 50.0))
        worker, prompt = rng.randint(1, 3), chains.prompt()
        index.routed(worker, prompt, now)
        mine = touched[worker]
        mine.update({block: (now + 120.0, turn, -depth) for depth, block in enumerate(prompt)})
        for blocks in touched.values():
            for block in [block for block, (expires, _, _) in blocks.items() if expires <= now]:
                del blocks[block]
        while capacity and len(mine) > capacity:
            del mine[min(mine, key=lambda block: mine[block])]
        asked = chains.prompt()
        expected = {}
        for one, blocks in touched.items():
            depth = next((at for at, block in enumerate(asked) if block not in blocks), len(asked))
            if depth:
                expected[one] = depth
        assert index.overlaps(asked, now) == expected
        assert len(index) == sum(map(len, touched.values()))


def test_what_is_remembered_does_not_grow_with_the_requests() -> None:
    index, prompt = index_of(1, 2), list(range(50))
    for at in range(3000):
        index.routed(1, prompt, at * 1e-3)
        index.routed(2, prompt[:5], at * 1e-3)
    kept = sum(touch.left for touch in index._touches)
    assert kept == index._queued < 10_000
    assert len(index._guesses[1].touches) < 500

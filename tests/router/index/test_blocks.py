from __future__ import annotations

import os
import random
from collections import Counter
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.router.index import BlockIndex
from tests.router.index.model import Chains, SetIndex

OPERATIONS = int(os.environ.get("DYN_TEST_INDEX_OPERATIONS", 40_000))
SEEDS = 4


def pieces(rng: random.Random, prompt: list[int]) -> list[int]:
    """A part of a prompt as some engine might tell of it: a run, one block, any blocks, or the wrong way round."""
    first = rng.randrange(len(prompt))
    run = prompt[first : first + rng.choice((1, 2, 32, 100))]
    how = rng.random()
    if how < 0.1:
        return rng.sample(prompt, rng.randint(1, len(prompt)))
    if how < 0.2:
        return run[::-1]
    return prompt if how < 0.4 else run


def check_inside(index: BlockIndex) -> None:
    """Every block lies in its span once, and nobody is left who holds nothing."""
    counted: Counter[int] = Counter()
    for span in set(index._where.values()):
        assert len(span.blocks) == len(span.masks) == len(set(span.blocks)) > 0
        assert all(index._where[block] is span for block in span.blocks)
        assert all(span.masks)
        full = span.masks[0]
        for mask in span.masks:
            full &= mask
            counted.update(index._workers.members(mask))
            assert all(span in index._holdings[worker].spans for worker in index._workers.members(mask))
        assert span.full == full
    spans = set(index._where.values())
    for worker, holding in index._holdings.items():
        assert holding.count == counted[worker]
        assert set(holding.spans) <= spans


@pytest.mark.parametrize("seed", range(SEEDS))
def test_answers_as_a_dict_of_sets_does(seed: int) -> None:
    """Any order of stored, removed, cleared, repeated or lost: `make test-index` does a million operations."""
    rng = random.Random(seed)
    chains = Chains(rng, branches=rng.choice((2, 3, 6)))
    index, model = BlockIndex(), SetIndex()
    workers = [rng.getrandbits(62) for _ in range(rng.choice((2, 8, 40)))]
    for step in range(OPERATIONS // SEEDS):
        prompt, worker, act = chains.prompt(), rng.choice(workers), rng.random()
        if act < 0.35:
            told = pieces(rng, prompt)
            index.stored(worker, told)
            model.stored(worker, told)
        elif act < 0.7:
            told = pieces(rng, prompt)
            index.removed(worker, told)
            model.removed(worker, told)
        elif act < 0.701:
            index.drop(worker)
            model.drop(worker)
        else:
            assert index.overlaps(prompt) == model.overlaps(prompt)
            start = rng.randrange(len(prompt))
            assert index.follows(worker, prompt, start) == model.follows(worker, prompt, start)
        if step % 1999 == 0:
            check_inside(index)
    check_inside(index)
    assert len(index) == len(model)
    assert all(index.held(worker) == model.held(worker) for worker in workers)
    assert all(sorted(chain(*index.blocks(worker))) == sorted(model.blocks_of(worker)) for worker in workers)
    for worker in workers:
        index.drop(worker)
    assert not len(index) and not index._holdings and not index._workers.bits


@given(st.lists(st.integers(0, 40), max_size=30), st.lists(st.integers(0, 40), max_size=30), st.integers(0, 40))
def test_any_blocks_in_any_order(stored: list[int], removed: list[int], other: int) -> None:
    index, model = BlockIndex(), SetIndex()
    for one in (index, model):
        one.stored(1, stored)
        one.stored(2, stored[: other // 2])
        one.removed(1, removed)
        one.stored(1, removed[:3])
    check_inside(index)
    assert index.overlaps(list(range(41))) == model.overlaps(list(range(41)))


def test_a_gap_ends_the_count_until_it_is_filled() -> None:
    index, prompt = BlockIndex(), list(range(100, 200))
    index.stored(1, prompt)
    index.stored(2, prompt)
    index.removed(1, [prompt[40]])
    assert index.overlaps(prompt) == {1: 40, 2: 100}
    index.removed(2, [prompt[40]])
    assert index.overlaps(prompt) == {1: 40, 2: 40}
    index.stored(1, [prompt[40]])
    assert index.overlaps(prompt) == {1: 100, 2: 40}


def test_blocks_told_one_by_one_are_found_as_fast_as_in_one_piece() -> None:
    index, prompt = BlockIndex(), list(range(1000, 1400))
    for block in prompt:
        index.stored(1, [block])
    for _ in range(8):
        assert index.overlaps(prompt) == {1: 400}
    assert len(set(index._where.values())) <= 8


def test_no_worker_holds_more_than_its_capacity() -> None:
    index = BlockIndex()
    index.limit(7, 100)
    for first in range(0, 1000, 10):
        index.stored(7, list(range(first, first + 10)))
    assert index.held(7) == 100 == len(index)
    assert index.overlaps(list(range(900, 1000))) == {7: 100}
    index.limit(7, 30)
    assert index.held(7) == 30 == len(index)
    index.stored(7, list(range(5000, 5400)))
    assert index.held(7) == 30
    check_inside(index)


def test_a_bit_is_used_again() -> None:
    index = BlockIndex()
    for worker in range(1000):
        index.stored(worker, [1, 2, 3])
        index.drop(worker)
    index.stored(5, [1])
    assert index._where[1].masks == [1]

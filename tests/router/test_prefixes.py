from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.router.prefixes import PrefixTree
from tests.router.index.model import Chains


@given(st.integers(0, 1 << 30))
def test_counts_as_counters_of_single_blocks_do(seed: int) -> None:
    rng = random.Random(seed)
    chains, tree = Chains(rng, longest=60), PrefixTree()
    counted: dict[int, Counter[int]] = {worker: Counter() for worker in range(4)}
    inside: list[tuple[int, list[int]]] = []
    for _ in range(80):
        if inside and rng.random() < 0.45:
            worker, prompt = inside.pop(rng.randrange(len(inside)))
            counted[worker].subtract(prompt)
            assert tree.remove(worker, prompt) == sum(not counted[worker][block] for block in prompt)
        else:
            worker, prompt = rng.randrange(4), chains.prompt()
            assert tree.add(worker, prompt) == sum(not counted[worker][block] for block in prompt)
            counted[worker].update(prompt)
            inside.append((worker, prompt))
        asked, expected = chains.prompt(), {}
        for worker, blocks in counted.items():
            depth = next((at for at, block in enumerate(asked) if not blocks[block]), len(asked))
            if depth:
                expected[worker] = depth
        assert tree.overlaps(asked) == expected
    for worker, prompt in inside:
        tree.remove(worker, prompt)
    assert not tree


def test_a_prompt_without_full_blocks() -> None:
    tree = PrefixTree()
    assert tree.add(1, []) == 0 == tree.remove(1, [])
    assert tree.overlaps([]) == {}

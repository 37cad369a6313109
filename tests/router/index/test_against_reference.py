"""The index and the hashes beside the reference's own, where `ai-dynamo==1.6.1` is installed."""

from __future__ import annotations

import json
import random

import pytest

from dynamo_cli.protocol.kv import block_hashes, chain, local_hashes
from dynamo_cli.router.index import BlockIndex

core = pytest.importorskip("dynamo._core", reason="the reference is not installed: pip install ai-dynamo==1.6.1")


def test_hashes_are_the_reference_s() -> None:
    rng = random.Random(0)
    for size in (1, 16, 32, 64):
        tokens = [rng.randrange(1 << 31) for _ in range(rng.randrange(3 * size, 9 * size))]
        assert local_hashes(tokens, size) == core.compute_block_hash_for_seq(tokens, size)


class Engine:
    """Blocks of a worker that lets the ends of its chains go first, as engines do.

    (The reference forgets, with a block in the middle, all that comes after it; this index waits to be told.)
    """

    def __init__(self) -> None:
        self.parents: dict[int, int] = {}

    def store(self, chained: list[int]) -> None:
        self.parents.update(zip(chained, [0, *chained[:-1]], strict=True))

    def evict(self, rng: random.Random, most: int) -> list[int]:
        gone: list[int] = []
        while self.parents and len(gone) < most:
            leaves = sorted(set(self.parents) - set(self.parents.values()))
            gone.append(rng.choice(leaves))
            del self.parents[gone[-1]]
        return gone


def test_overlaps_are_the_reference_s_whatever_is_stored_and_removed() -> None:
    rng = random.Random(0)
    tree, index = core.RadixTree(), BlockIndex()
    engines, event_ids = {worker: Engine() for worker in range(1, 9)}, dict.fromkeys(range(1, 9), 0)
    shared, compared = [rng.randrange(1000) for _ in range(16 * 40)], 0

    def tell(worker: int, data: dict) -> None:
        event = {"event_id": event_ids[worker], "data": data}
        event_ids[worker] += 1
        tree.apply_event(worker, json.dumps(event).encode())

    for _ in range(4000):
        keep = rng.randrange(len(shared))
        local = local_hashes(shared[:keep] + [rng.randrange(2) for _ in range(rng.randrange(64))], 16)
        chained, worker, act = chain(local), rng.choice(list(engines)), rng.random()
        if not local:
            continue
        if act < 0.3:
            blocks = [{"block_hash": name, "tokens_hash": own} for name, own in zip(chained, local, strict=True)]
            tell(worker, {"stored": {"parent_hash": None, "blocks": blocks}})
            engines[worker].store(chained)
            index.stored(worker, chained)
        elif act < 0.6:
            if gone := engines[worker].evict(rng, rng.randint(1, 12)):
                tell(worker, {"removed": {"block_hashes": gone}})
                index.removed(worker, gone)
        elif act < 0.61:
            tree.remove_worker(worker)
            index.drop(worker)
            engines[worker] = Engine()
        else:
            theirs = {key[0]: score for key, score in tree.find_matches(local).scores.items()}
            assert index.overlaps(chained) == theirs
            compared += bool(theirs)
    assert compared > 500
    assert block_hashes(shared, 16) == chain(local_hashes(shared, 16))

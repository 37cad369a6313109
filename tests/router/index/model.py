"""What an index must answer, the simple way: a set of workers for each block."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence


class SetIndex:
    def __init__(self) -> None:
        self.holders: dict[int, set[int]] = {}

    def __len__(self) -> int:
        return len(self.holders)

    def held(self, worker: int) -> int:
        return len(self.blocks_of(worker))

    def blocks_of(self, worker: int) -> list[int]:
        return [block for block, workers in self.holders.items() if worker in workers]

    def stored(self, worker: int, hashes: Iterable[int]) -> None:
        for block in hashes:
            self.holders.setdefault(block, set()).add(worker)

    def removed(self, worker: int, hashes: Iterable[int]) -> None:
        for block in hashes:
            workers = self.holders.get(block, set())
            workers.discard(worker)
            if not workers:
                self.holders.pop(block, None)

    def drop(self, worker: int) -> None:
        self.removed(worker, list(self.holders))

    def follows(self, worker: int, hashes: Sequence[int], start: int) -> int:
        at = start
        while at < len(hashes) and worker in self.holders.get(hashes[at], ()):
            at += 1
        return at - start

    def overlaps(self, hashes: Sequence[int]) -> dict[int, int]:
        scores: dict[int, int] = {}
        left = set(self.holders.get(hashes[0], ())) if hashes else set()
        for depth, block in enumerate(hashes):
            left &= self.holders.get(block, set())
            if not left:
                break
            scores.update(dict.fromkeys(left, depth + 1))
        return scores


class Chains:
    """Prompts that share prefixes: a random tree of chained hashes, grown as it is walked."""

    def __init__(self, rng: random.Random, branches: int = 3, longest: int = 150) -> None:
        self._rng = rng
        self._branches = branches
        self._longest = longest
        self._names: dict[tuple[int, int], int] = {}

    def prompt(self) -> list[int]:
        hashes, parent = [], 0
        for depth in range(self._rng.randint(1, self._longest)):
            branch = 0 if depth % 13 else self._rng.randrange(self._branches)
            parent = self._names.setdefault((parent, branch), self._rng.getrandbits(64))
            hashes.append(parent)
        return hashes

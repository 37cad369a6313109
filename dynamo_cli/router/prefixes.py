"""Prompts in flight as a compressed prefix tree: who serves which prefix now, and how often."""

from __future__ import annotations

from collections.abc import Sequence


class _Run:
    """Neighbouring blocks no prompt in flight parts within; `holders`: prompts that go through it, by worker."""

    __slots__ = ("blocks", "holders", "next")

    def __init__(self, blocks: Sequence[int], holders: dict[int, int], following: dict[int, _Run]) -> None:
        self.blocks = blocks
        self.holders = holders
        self.next = following


class PrefixTree:
    """Counts prompts (chained hashes: equal at one place, equal before it) by worker and prefix.

    Its cost depends on where prompts part, hardly on how long they are.
    """

    def __init__(self) -> None:
        self._root = _Run((), {}, {})

    def __bool__(self) -> bool:
        return bool(self._root.next)

    def add(self, worker: int, hashes: Sequence[int]) -> int:
        """Count a prompt; returns how many of its blocks no other prompt of this worker has."""
        run, at, size, fresh = self._root, 0, len(hashes), 0
        while at < size:
            following = run.next.get(hashes[at])
            if following is None:
                following = run.next[hashes[at]] = _Run(hashes[at:], {}, {})
            else:
                _split(following, _common(following.blocks, hashes, at))
            run = following
            seen = run.holders.get(worker, 0)
            run.holders[worker] = seen + 1
            at += len(run.blocks)
            if not seen:
                fresh += len(run.blocks)
        return fresh

    def remove(self, worker: int, hashes: Sequence[int]) -> int:
        """Take back one `add` of the same prompt; returns how many of its blocks no other one has."""
        run, at, size, gone = self._root, 0, len(hashes), 0
        while at < size:
            before, run = run, run.next[hashes[at]]
            length = len(run.blocks)
            left = run.holders[worker] - 1
            if left:
                run.holders[worker] = left
            else:
                gone += length
                del run.holders[worker]
                if not run.holders:
                    del before.next[hashes[at]]
            at += length
        return gone

    def overlaps(self, hashes: Sequence[int]) -> dict[int, int]:
        """How many of the prompt's first blocks each worker has in flight; who has none is left out."""
        run, at, size = self._root, 0, len(hashes)
        depths: dict[int, int] = {}
        while at < size:
            following = run.next.get(hashes[at])
            if following is None:
                break
            run = following
            common = _common(run.blocks, hashes, at)
            at += common
            depths.update(dict.fromkeys(run.holders, at))
            if common < len(run.blocks):
                break
        return depths


def _common(blocks: Sequence[int], hashes: Sequence[int], at: int) -> int:
    """How many of `blocks`, whose first one is `hashes[at]`, the prompt has from `at` on."""
    low, high = 1, min(len(blocks), len(hashes) - at)
    if blocks[high - 1] == hashes[at + high - 1]:
        return high
    while low < high:
        middle = (low + high) // 2
        if blocks[middle] == hashes[at + middle]:
            low = middle + 1
        else:
            high = middle
    return low


def _split(run: _Run, length: int) -> None:
    """Let a run end after `length` blocks, so that another prompt can part there."""
    if length < len(run.blocks):
        tail = _Run(run.blocks[length:], dict(run.holders), run.next)
        run.blocks = run.blocks[:length]
        run.next = {tail.blocks[0]: tail}

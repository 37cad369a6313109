"""Chained block hashes -> the workers that hold them: the exact index.

Blocks that came together in one event lie in one span, and a span knows who holds all of it. A prompt of 512 blocks
is therefore looked up in some sixteen steps, and the answer stays exact when blocks in the middle are missing: who
does not hold a whole span is counted block by block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import and_, or_

from dynamo_cli.router.index.workers import WorkerBits

SPAN = 64
UNKNOWN_CAPACITY = 1 << 20


class _Span:
    """Blocks told of together. `masks[i]`: who holds `blocks[i]`, never nobody; `full`: who holds them all.

    `proven`: a prompt had exactly these blocks, so they are neighbours in a chain, and whoever has the last one after
    the first one has all of them.
    """

    __slots__ = ("blocks", "full", "masks", "proven")

    def __init__(self, blocks: list[int], masks: list[int], proven: bool = False) -> None:
        self.blocks = blocks
        self.masks = masks
        self.full = reduce(and_, masks)
        self.proven = proven

    def is_at(self, hashes: Sequence[int], at: int, end: int) -> bool:
        """Whether the prompt has these blocks from `at` to `end`."""
        if self.proven:
            return end <= len(hashes) and hashes[end - 1] == self.blocks[-1] and hashes[at] == self.blocks[0]
        self.proven = hashes[at:end] == self.blocks
        return self.proven


class _Holding:
    """What one worker holds: its spans, oldest first, and the number of blocks; `limit` bounds the latter."""

    __slots__ = ("bit", "count", "limit", "spans")

    def __init__(self, bit: int) -> None:
        self.bit = bit
        self.spans: dict[_Span, None] = {}
        self.count = 0
        self.limit = UNKNOWN_CAPACITY


class BlockIndex:
    """Every operation may be repeated, lost or reordered: the index then knows more or less, and nothing breaks."""

    def __init__(self) -> None:
        self._where: dict[int, _Span] = {}
        self._workers = WorkerBits()
        self._holdings: dict[int, _Holding] = {}

    def __len__(self) -> int:
        """Different blocks known."""
        return len(self._where)

    def held(self, worker: int) -> int:
        """Blocks this worker is known to hold."""
        holding = self._holdings.get(worker)
        return holding.count if holding is not None else 0

    def blocks(self, worker: int) -> Iterator[list[int]]:
        """All that this worker is known to hold, a few at a time; nothing may change meanwhile."""
        holding = self._holdings.get(worker)
        if holding is not None:
            for span in holding.spans:
                yield _own(span, holding.bit)

    def limit(self, worker: int, blocks: int) -> None:
        """No worker holds more than its capacity: beyond it, what was stored first is forgotten. 0: unknown."""
        holding = self._holding(worker)
        holding.limit = blocks or UNKNOWN_CAPACITY
        self._forget_surplus(worker, holding)

    def stored(self, worker: int, hashes: Sequence[int]) -> None:
        """The worker holds these blocks; best given in the order of their chain."""
        holding = self._holding(worker)
        where, at, size = self._where, 0, len(hashes)
        while at < size:
            span = where.get(hashes[at])
            at = self._add(holding, hashes, at) if span is None else self._mark(span, holding, hashes, at)
        if holding.count > holding.limit:
            self._forget_surplus(worker, holding)

    def removed(self, worker: int, hashes: Iterable[int]) -> None:
        """The worker no longer holds these blocks, or never did."""
        holding = self._holdings.get(worker)
        if holding is None:
            return
        bit, where = holding.bit, self._where
        for block in hashes:
            span = where.get(block)
            if span is None:
                continue
            masks = span.masks
            if block == span.blocks[-1] and masks[-1] == bit and span.full == bit:
                # The usual case, made fast: a worker lets its own chain go from its end.
                holding.count -= 1
                del where[block], span.blocks[-1], masks[-1]
                if not masks:
                    del holding.spans[span]
                elif masks[-1] != bit:
                    span.full = reduce(and_, masks)
                continue
            offset = span.blocks.index(block)
            mask = masks[offset]
            if mask & bit:
                holding.count -= 1
                if mask == bit:
                    self._cut(span, offset)
                else:
                    masks[offset] = mask ^ bit
                    span.full &= ~bit
                if not (masks and masks[0] & bit) and not _any(masks) & bit:
                    holding.spans.pop(span, None)

    def clear(self, worker: int) -> None:
        """The worker holds nothing any more."""
        holding = self._holdings.get(worker)
        if holding is not None:
            spans, holding.spans = holding.spans, {}
            holding.count = 0
            for span in spans:
                self._clear(span, holding.bit)

    def drop(self, worker: int) -> None:
        """The worker is gone: neither its blocks nor its limit are remembered."""
        self.clear(worker)
        self._holdings.pop(worker, None)
        self._workers.release(worker)

    def overlaps(self, hashes: Sequence[int]) -> dict[int, int]:
        """How many of the prompt's first blocks each worker holds without a gap; who holds none is left out."""
        where, size, at = self._where, len(hashes), 0
        scores: dict[int, int] = {}
        before: _Span | None = None
        running = -1
        while at < size:
            span = where.get(hashes[at])
            if span is None:
                break
            end = at + len(span.blocks)
            whole = span.is_at(hashes, at, end)
            if not (whole or span.proven):
                span = self._part(span, hashes, at)
                whole, end = True, at + len(span.blocks)
            if whole and running & span.full != running:
                running = self._narrow(running, span.masks[0], at, scores)
            if whole and running & span.full == running:
                if before is not None and before.full == span.full:
                    span = self._join(before, span)
                before, at = span, end
            else:
                at, running = self._step_through(span, hashes, at, running, scores)
                before = None
            if not running:
                return scores
        if running > 0:
            scores.update(dict.fromkeys(self._workers.members(running), at))
        return scores

    def follows(self, worker: int, hashes: Sequence[int], start: int) -> int:
        """How many blocks from `start` on the worker holds without a gap."""
        holding = self._holdings.get(worker)
        if holding is None or not holding.count:
            return 0
        at, size, bit = start, len(hashes), holding.bit
        while at < size:
            span = self._where.get(hashes[at])
            if span is None or not span.masks[span.blocks.index(hashes[at])] & bit:
                break
            end = at + len(span.blocks)
            at = end if span.full & bit and span.is_at(hashes, at, end) else at + 1
        return at - start

    def _narrow(self, running: int, mask: int, at: int, scores: dict[int, int]) -> int:
        """Who of the workers goes on after `at` blocks; the others' count ends there."""
        left = running & mask
        if at and left != running:
            scores.update(dict.fromkeys(self._workers.members(running ^ left), at))
        return left

    def _step_through(
        self, span: _Span, hashes: Sequence[int], at: int, running: int, scores: dict[int, int]
    ) -> tuple[int, int]:
        """Block by block through the span; returns where the prompt leaves it, and who holds all up to there."""
        blocks, masks, size = span.blocks, span.masks, len(hashes)
        for offset in range(blocks.index(hashes[at]), len(blocks)):
            if at == size or blocks[offset] != hashes[at]:
                break
            if running & masks[offset] != running:
                running = self._narrow(running, masks[offset], at, scores)
                if not running:
                    break
            at += 1
        return at, running

    def _holding(self, worker: int) -> _Holding:
        holding = self._holdings.get(worker)
        if holding is None:
            holding = self._holdings[worker] = _Holding(self._workers.take(worker))
        return holding

    def _add(self, holding: _Holding, hashes: Sequence[int], at: int) -> int:
        """A span of the blocks from `at` on that nobody held; returns where they end."""
        where, first, size = self._where, at, min(len(hashes), at + SPAN)
        span = _Span([], [holding.bit])
        while at < size and (block := hashes[at]) not in where:
            where[block] = span
            at += 1
        span.blocks = list(hashes[first:at])
        span.masks = [holding.bit] * (at - first)
        holding.spans[span] = None
        holding.count += at - first
        return at

    def _mark(self, span: _Span, holding: _Holding, hashes: Sequence[int], at: int) -> int:
        """One more holder for the blocks from `at` on, as far as they follow the span; returns where they leave it."""
        bit, blocks, masks, size = holding.bit, span.blocks, span.masks, len(hashes)
        for offset in range(blocks.index(hashes[at]), len(blocks)):
            if at == size or blocks[offset] != hashes[at]:
                break
            if not masks[offset] & bit:
                masks[offset] |= bit
                holding.count += 1
            at += 1
        span.full = reduce(and_, masks)
        holding.spans[span] = None
        return at

    def _cut(self, span: _Span, offset: int) -> None:
        """Nobody holds this block: what lies behind it becomes a span of its own."""
        del self._where[span.blocks[offset]]
        blocks, masks = span.blocks[offset + 1 :], span.masks[offset + 1 :]
        del span.blocks[offset:], span.masks[offset:]
        if blocks and not span.blocks:
            span.blocks += blocks
            span.masks += masks
        elif blocks:
            self._split_off(span, _Span(blocks, masks, span.proven))
        span.full = reduce(and_, span.masks) if span.masks else 0

    def _part(self, span: _Span, hashes: Sequence[int], at: int) -> _Span:
        """Make a span of what the prompt has of this one from `at` on: what was told together need not be a chain."""
        blocks, size = span.blocks, len(hashes)
        first = end = blocks.index(hashes[at])
        while end < len(blocks) and at < size and blocks[end] == hashes[at]:
            end += 1
            at += 1
        self._split(span, end)
        span = self._split(span, first) if first else span
        span.proven = True
        return span

    def _split(self, span: _Span, offset: int) -> _Span:
        """Let the span end before `offset`; returns the span of the rest."""
        tail = span
        if offset < len(span.blocks):
            tail = _Span(span.blocks[offset:], span.masks[offset:], span.proven)
            del span.blocks[offset:], span.masks[offset:]
            self._split_off(span, tail)
            span.full = reduce(and_, span.masks)
        return tail

    def _split_off(self, span: _Span, tail: _Span) -> None:
        self._where.update(dict.fromkeys(tail.blocks, tail))
        staying = _any(span.masks)
        for worker in self._workers.members(_any(tail.masks)):
            holding = self._holdings[worker]
            holding.spans[tail] = None
            if not staying & holding.bit:
                holding.spans.pop(span, None)

    def _join(self, before: _Span, span: _Span) -> _Span:
        """Make one of two spans of the same holders: those of generated blocks come one by one."""
        if len(before.blocks) + len(span.blocks) > SPAN or _any(span.masks) != span.full:
            return span
        for worker in self._workers.members(span.full):
            self._holdings[worker].spans.pop(span, None)
        self._where.update(dict.fromkeys(span.blocks, before))
        before.blocks += span.blocks
        before.masks += span.masks
        return before

    def _clear(self, span: _Span, bit: int) -> None:
        """Take one holder away from every block of the span."""
        for offset in range(len(span.masks) - 1, -1, -1):
            mask = span.masks[offset]
            if mask == bit:
                self._cut(span, offset)
            elif mask & bit:
                span.masks[offset] = mask ^ bit
        span.full &= ~bit

    def _forget_surplus(self, worker: int, holding: _Holding) -> None:
        while (surplus := holding.count - holding.limit) > 0:
            oldest = next(iter(holding.spans))
            self.removed(worker, _own(oldest, holding.bit)[: -surplus - 1 : -1])


def _own(span: _Span, bit: int) -> list[int]:
    return [block for block, mask in zip(span.blocks, span.masks, strict=True) if mask & bit]


def _any(masks: list[int]) -> int:
    return reduce(or_, masks, 0)

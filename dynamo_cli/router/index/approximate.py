"""Which worker may hold which prefix, guessed from what was routed to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Literal

from dynamo_cli.router.index.blocks import UNKNOWN_CAPACITY, BlockIndex

CachePolicy = Literal["ttl", "lru"]
CACHE_POLICIES: tuple[CachePolicy, ...] = ("ttl", "lru")
"""What a cache of which nothing is told forgets first: what is old, or only what has to make room."""
_SHED_AT_ONCE = 2048
_SLACK = 4096


class _Touch:
    """The first `left` blocks of a routed prompt, until `expires`; those touched again belong to a later touch."""

    __slots__ = ("expires", "hashes", "left", "worker")

    def __init__(self, expires: float, worker: int, hashes: Sequence[int]) -> None:
        self.expires = expires
        self.worker = worker
        self.hashes = hashes
        self.left = len(hashes)


class _Guess:
    """One worker: the last touch of each of its blocks, and its touches, oldest first."""

    __slots__ = ("last", "limit", "touches")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.last: dict[int, _Touch] = {}
        self.touches: deque[_Touch] = deque()


class ApproximateIndex:
    """A routed block is there for `ttl_s` seconds after the last prompt that had it.

    A worker that has told its capacity holds no more than that, least recently used first out. All of it together
    is at most about `max_blocks` (a block counts once for each worker): beyond that the blocks that would expire
    soonest are dropped, a few with every request, until it is `prune_ratio` of that. The end of a prompt always goes
    before its beginning.
    """

    def __init__(self, ttl_s: float = 120.0, max_blocks: int = 1 << 20, prune_ratio: float = 0.8) -> None:
        self._ttl_s = ttl_s
        self._max = max_blocks
        self._pruned = int(max_blocks * prune_ratio)
        self._pruning = False
        self._blocks = BlockIndex()
        self._guesses: dict[int, _Guess] = {}
        self._touches: deque[_Touch] = deque()
        self._total = 0
        self._queued = 0

    def __len__(self) -> int:
        """Blocks, each counted once for each worker."""
        return self._total

    def add_worker(self, worker: int, total_blocks: int) -> None:
        """A worker that holds nothing yet; `total_blocks` is its capacity, 0 unknown."""
        self.remove_worker(worker)
        self._guesses[worker] = _Guess(total_blocks or UNKNOWN_CAPACITY)

    def remove_worker(self, worker: int) -> None:
        guess = self._guesses.pop(worker, None)
        if guess is not None:
            self._total -= len(guess.last)
            guess.last.clear()
            self._blocks.drop(worker)

    def clear(self, worker: int) -> None:
        guess = self._guesses.get(worker)
        if guess is not None:
            self.add_worker(worker, guess.limit)

    def held(self, worker: int) -> int:
        """Blocks this worker may hold."""
        guess = self._guesses.get(worker)
        return len(guess.last) if guess is not None else 0

    def blocks(self, worker: int) -> Iterator[list[int]]:
        """All that this worker may hold, a few at a time; nothing may change meanwhile."""
        return self._blocks.blocks(worker)

    def overlaps(self, hashes: Sequence[int], now: float) -> dict[int, int]:
        """How many of the prompt's first blocks each worker may hold; who holds none is left out."""
        self._expire(now)
        return self._blocks.overlaps(hashes)

    def routed(self, worker: int, hashes: Sequence[int], now: float) -> None:
        """The worker gets this prompt, and will hold its blocks."""
        guess = self._guesses.get(worker)
        if guess is None or not hashes:
            return
        self._expire(now)
        last = guess.last
        fresh = [block for block in hashes if block not in last]
        touch = _Touch(now + self._ttl_s, worker, hashes)
        known = len(hashes) - len(fresh)
        if known:
            self._supersede(last[hashes[known - 1]], known)
        last.update(zip(hashes, repeat(touch)))
        while guess.touches and not guess.touches[0].left:
            guess.touches.popleft()
        guess.touches.append(touch)
        self._touches.append(touch)
        self._queued += len(hashes)
        if fresh:
            self._total += len(fresh)
            self._blocks.stored(worker, fresh)
        self._shed(guess.touches, len(last) - guess.limit)
        self._prune()
        if self._queued + len(self._touches) > 2 * self._total + _SLACK:
            self._compact()

    def _supersede(self, touch: _Touch, known: int) -> None:
        """A prompt begins with `known` blocks, of which this touch had the last one: often it has no others left."""
        if touch.left == known:
            self._queued -= known
            touch.left, touch.hashes = 0, ()

    def _expire(self, now: float) -> None:
        touches = self._touches
        while touches and touches[0].expires <= now:
            self._shed_from(touches[0], touches[0].left)
            touches.popleft()

    def _prune(self) -> None:
        self._pruning = self._total > (self._pruned if self._pruning else self._max)
        if self._pruning:
            self._shed(self._touches, min(self._total - self._pruned, _SHED_AT_ONCE))

    def _shed(self, touches: deque[_Touch], surplus: int) -> None:
        while surplus > 0 and touches:
            surplus -= self._shed_from(touches[0], surplus)
            if not touches[0].left:
                touches.popleft()

    def _shed_from(self, touch: _Touch, most: int) -> int:
        """Forget up to so many blocks, from the prompt's end on; returns how many."""
        guess = self._guesses.get(touch.worker)
        last = guess.last if guess is not None else {}
        gone: list[int] = []
        at = touch.left
        while at and len(gone) < most:
            at -= 1
            block = touch.hashes[at]
            if last.get(block) is touch:
                del last[block]
                gone.append(block)
        self._queued -= touch.left - at
        touch.left = at
        self._total -= len(gone)
        self._blocks.removed(touch.worker, gone)
        return len(gone)

    def _compact(self) -> None:
        """Drop from every touch what was touched again later, and the touches with nothing left."""
        for touch in self._touches:
            guess = self._guesses.get(touch.worker)
            last = guess.last if guess is not None else {}
            touch.hashes = [one for one in touch.hashes[: touch.left] if last.get(one) is touch]
            touch.left = len(touch.hashes)
        self._touches = deque(touch for touch in self._touches if touch.left)
        for guess in self._guesses.values():
            guess.touches = deque(touch for touch in guess.touches if touch.left)
        self._queued = sum(touch.left for touch in self._touches)

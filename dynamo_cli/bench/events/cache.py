"""A KV cache that is always full: each event's blocks push out those that came first."""

from __future__ import annotations

import random
from collections import deque

from dynamo_cli.protocol.kv import KvEvent, Removed, Stored

EVENT_BLOCKS = 32
_SHARED_EVERY = 4


class FullCache:
    """Holds `events` x EVENT_BLOCKS blocks. Every fourth event's are the same in all caches, as common prefixes are."""

    def __init__(self, events: int, seed: int) -> None:
        own, common = random.Random(seed), random.Random(0)
        stock = 2 * events
        self._stock = [_blocks(own if number % _SHARED_EVERY else common) for number in range(stock)]
        self._held = deque(self._stock[:events])
        self._next = events

    def turn(self) -> list[KvEvent]:
        """The oldest blocks go, the end of their chain first, and as many new ones come."""
        fresh = self._stock[self._next % len(self._stock)]
        self._next += 1
        gone = self._held.popleft()
        self._held.append(fresh)
        return [Removed(gone[::-1]), Stored(fresh)]

    def dump(self) -> list[list[KvEvent]]:
        return [[Stored(blocks)] for blocks in self._held]


def _blocks(rng: random.Random) -> list[int]:
    return [rng.getrandbits(64) for _ in range(EVENT_BLOCKS)]

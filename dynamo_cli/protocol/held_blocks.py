"""What a worker's KV events add up to."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from itertools import islice
from operator import xor

import msgspec

from dynamo_cli.protocol.kv import Cleared, KvEvent, Stored, Tier

BLOCKS_A_MESSAGE = 1024


class HeldView(msgspec.Struct, frozen=True, omit_defaults=True):
    """The blocks of one tier, to be compared between processes: hashes are 16 hex digits.

    `digest`: the XOR of all, so equal sets have equal digests; `hashes`: all in ascending order, when asked for.
    """

    blocks: int
    digest: str
    hashes: list[str] = []


def held_view(hashes: Iterable[int], *, listed: bool) -> HeldView:
    """Of different blocks in any order."""
    known = list(hashes)
    return HeldView(
        len(known), f"{reduce(xor, known, 0):016x}", [f"{block:016x}" for block in sorted(known)] if listed else []
    )


class HeldBlocks:
    """The blocks of one worker, by tier. Events may be repeated."""

    def __init__(self) -> None:
        self._tiers: dict[Tier, dict[int, None]] = {}

    def __len__(self) -> int:
        """Blocks, each counted in every tier that has it."""
        return sum(map(len, self._tiers.values()))

    def apply(self, event: KvEvent) -> None:
        if isinstance(event, Cleared):
            self._tiers.clear()
            return
        held = self._tiers.setdefault(event.tier, {})
        if isinstance(event, Stored):
            held.update(dict.fromkeys(event.hashes))
        else:
            for block in event.hashes:
                held.pop(block, None)

    def tier(self, tier: Tier) -> Iterable[int]:
        """In the order in which they were stored."""
        return self._tiers.get(tier, ())

    def events(self) -> list[list[KvEvent]]:
        """Messages that build it from nothing, in the order in which the blocks were stored."""
        return [[Stored(part, tier)] for tier, held in self._tiers.items() for part in _parts(held)]


def _parts(held: dict[int, None]) -> list[list[int]]:
    blocks = iter(held)
    return [list(islice(blocks, BLOCKS_A_MESSAGE)) for _ in range(0, len(held), BLOCKS_A_MESSAGE)]

"""What a worker's KV events add up to."""

from __future__ import annotations

from itertools import islice

from dynamo_cli.protocol.kv import Cleared, KvEvent, Stored, Tier

BLOCKS_A_MESSAGE = 1024


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

    def events(self) -> list[list[KvEvent]]:
        """Messages that build it from nothing, in the order in which the blocks were stored."""
        return [[Stored(part, tier)] for tier, held in self._tiers.items() for part in _parts(held)]


def _parts(held: dict[int, None]) -> list[list[int]]:
    blocks = iter(held)
    return [list(islice(blocks, BLOCKS_A_MESSAGE)) for _ in range(0, len(held), BLOCKS_A_MESSAGE)]

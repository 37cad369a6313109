"""How full the simulated KV cache is."""

from __future__ import annotations


class BlockPool:
    """Counts blocks. A sequence reserves what it may need at worst, so it never runs out once admitted.

    `active` are the blocks that hold tokens; they decide the step time.
    """

    def __init__(self, total: int, block_size: int) -> None:
        self.total = total
        self.block_size = block_size
        self.free = total
        self.active = 0

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.block_size)

    def reserve(self, blocks: int) -> bool:
        """Take that many blocks, or none and False when they are not free."""
        if blocks > self.free:
            return False
        self.free -= blocks
        return True

    def release(self, reserved: int, active: int) -> None:
        self.free += reserved
        self.active -= active

    @property
    def occupancy(self) -> float:
        """Share of the cache that holds tokens, 0..1."""
        return self.active / self.total

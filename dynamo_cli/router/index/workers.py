"""Sets of workers as integers: each worker has one bit, as low as possible."""

from __future__ import annotations


class WorkerBits:
    """Gives bits to workers. A bit is used again after `release`, so masks stay as short as the workers are few."""

    def __init__(self) -> None:
        self.bits: dict[int, int] = {}
        self._by_position: list[int] = []
        self._free: list[int] = []

    def __contains__(self, worker: int) -> bool:
        return worker in self.bits

    def take(self, worker: int) -> int:
        """The worker's bit (a power of two)."""
        bit = self.bits.get(worker)
        if bit is None:
            if self._free:
                position = self._free.pop()
                self._by_position[position] = worker
            else:
                position = len(self._by_position)
                self._by_position.append(worker)
            bit = self.bits[worker] = 1 << position
        return bit

    def release(self, worker: int) -> None:
        """The caller has cleared the bit in every mask."""
        bit = self.bits.pop(worker, 0)
        if bit:
            self._free.append(bit.bit_length() - 1)

    def members(self, mask: int) -> list[int]:
        """The workers of a mask, in any order."""
        if mask.bit_count() * 4 > len(self.bits):
            return [worker for worker, bit in self.bits.items() if mask & bit]
        workers = []
        while mask:
            low = mask & -mask
            workers.append(self._by_position[low.bit_length() - 1])
            mask ^= low
        return workers

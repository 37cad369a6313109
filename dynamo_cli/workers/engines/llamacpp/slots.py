"""Which of llama.cpp's slots a prompt gets, where it may not choose itself: a slot whose state is saved or restored
must not be given to another request in between.
"""

from __future__ import annotations

from collections.abc import Sequence

ALIKE = 0.1
"""Of a prompt's tokens that a slot must hold to be better than the one unused the longest; llama.cpp's own measure."""


class Slots:
    def __init__(self, count: int) -> None:
        self._free: dict[int, Sequence[int]] = {slot: () for slot in range(count)}
        """What each free one holds; unused the longest first."""

    def take(self, prompt: Sequence[int]) -> int:
        """The free slot that holds most of the prompt's beginning. There is one: as many get in as there are slots."""
        slot, shared = next(iter(self._free)), ALIKE * len(prompt)
        for each, held in self._free.items():
            common = shared_prefix(prompt, held)
            if common > shared:
                slot, shared = each, common
        del self._free[slot]
        return slot

    def give_back(self, slot: int, held: Sequence[int]) -> None:
        """`held`: the tokens that it is left with."""
        self._free[slot] = held


def shared_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many items at their beginnings are the same. Compares slices, which is fast."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least

"""Which entry a row on the screen belongs to, when entries take different numbers of rows. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque


class Rows:
    """Entries are appended at the end and let go at the start; both, and finding one, cost next to nothing."""

    def __init__(self) -> None:
        self._ends: deque[int] = deque()
        self._gone = 0

    @property
    def total(self) -> int:
        return self._ends[-1] - self._gone if self._ends else 0

    def append(self, height: int) -> None:
        """One more entry, of so many rows, at least one."""
        self._ends.append((self._ends[-1] if self._ends else self._gone) + height)

    def pop(self) -> int:
        """Let the first entry go; how many rows it took."""
        height = self._ends[0] - self._gone
        self._gone = self._ends.popleft()
        return height

    def at(self, row: int) -> tuple[int, int]:
        """The index of the entry that `row`, from 0, belongs to, and which of that entry's rows it is."""
        index = bisect_right(self._ends, row + self._gone)
        return index, row - self.first(index)

    def first(self, index: int) -> int:
        """The first row of an entry."""
        return self._ends[index - 1] - self._gone if index else 0

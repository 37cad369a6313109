"""What of the kept lines is to be seen, in rows of a certain width. Pure: the widget beside it draws it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from rich.cells import cell_len, chop_cells

from dynamo_cli.tui.log.entry import Entry
from dynamo_cli.tui.log.rows import Rows

MOST = 20_000
"""Lines of all services that can be scrolled through."""


class Choice(NamedTuple):
    """Which lines: of these services (None for all), of this level on, in which `pattern` is found."""

    services: frozenset[str] | None = None
    level: int | None = None
    pattern: re.Pattern[str] | None = None

    def wants(self, entry: Entry) -> bool:
        if self.services is not None and entry.service not in self.services:
            return False
        if entry.level is None:
            return self.pattern is None
        if self.level is not None and entry.level < self.level:
            return False
        return self.pattern is None or self.pattern.search(entry.text) is not None


class LogView:
    """`width`: cells of text in a row, 0 for rows as long as the lines are."""

    def __init__(self, width: int = 0, most: int = MOST) -> None:
        self.entries: deque[Entry] = deque()
        self.rows = Rows()
        self.widest = 0
        self._width = width
        self._most = most

    @property
    def full(self) -> bool:
        return len(self.entries) >= self._most

    @property
    def width(self) -> int:
        return self._width

    def fill(self, entries: Iterable[Entry], width: int) -> None:
        """Begin anew with these."""
        self.entries.clear()
        self.rows, self.widest, self._width = Rows(), 0, width
        self.extend(entries)

    def extend(self, entries: Iterable[Entry]) -> int:
        """More at the end; how many rows had to go at the start."""
        gone = 0
        for entry in entries:
            if self.full:
                self.entries.popleft()
                gone += self.rows.pop()
            self.entries.append(entry)
            self.rows.append(self._height(entry.text))
        return gone

    def row(self, number: int) -> tuple[Entry, int, str]:
        """The entry of a row, which of its rows it is, and the text in it."""
        index, part = self.rows.at(number)
        entry = self.entries[index]
        return entry, part, self._part(entry.text, part)

    def matches(self, pattern: re.Pattern[str]) -> list[int]:
        """The indices of the lines in which it is found."""
        return [index for index, entry in enumerate(self.entries) if pattern.search(entry.text)]

    def _height(self, text: str) -> int:
        cells = len(text) if text.isascii() else cell_len(text)
        self.widest = max(self.widest, cells)
        if not self._width or cells <= self._width:
            return 1
        return -(-cells // self._width) if text.isascii() else len(chop_cells(text, self._width))

    def _part(self, text: str, part: int) -> str:
        if not self._width:
            return text
        if text.isascii():
            return text[part * self._width : (part + 1) * self._width]
        return chop_cells(text, self._width)[part] if text else ""

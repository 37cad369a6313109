"""As much of a terminal as the chat uses: what stands on the screen and above it after some output."""

from __future__ import annotations

import re

from rich.cells import cell_len

_PART = re.compile(r"\x1b\[(?P<number>\??[0-9;]*)(?P<letter>[A-Za-z])|(?P<text>[^\x1b\r\n]+)|(?P<control>[\r\n])")


class Emulator:
    """A file. Escape sequences other than those it knows fail the test."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.lines = [""]
        self._row = self._column = 0

    def isatty(self) -> bool:
        return True

    def flush(self) -> None: ...

    def write(self, data: str) -> int:
        at = 0
        for part in _PART.finditer(data):
            assert part.start() == at, f"unknown output {data[at : part.start()]!r}"
            at = part.end()
            if part["letter"]:
                self._escape(part["number"], part["letter"])
            elif part["control"]:
                self._control(part["control"])
            else:
                self._text(part["text"])
        assert at == len(data), f"unknown output {data[at:]!r}"
        return len(data)

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n")

    def _escape(self, number: str, letter: str) -> None:
        if letter == "A":
            self._row -= int(number)
            assert self._row >= max(0, len(self.lines) - self.rows), "the cursor went above the screen"
        elif letter == "K":
            self.lines[self._row] = self.lines[self._row][: self._column]
        elif letter == "J":
            self.lines[self._row] = self.lines[self._row][: self._column]
            del self.lines[self._row + 1 :]
        else:
            assert letter in ("m", "h", "l"), f"unknown escape sequence {number}{letter}"

    def _control(self, letter: str) -> None:
        self._column = 0
        if letter == "\n":
            self._row += 1
            if self._row == len(self.lines):
                self.lines.append("")

    def _text(self, text: str) -> None:
        line = self.lines[self._row]
        self.lines[self._row] = line[: self._column] + text + line[self._column + len(text) :]
        self._column += len(text)
        assert cell_len(self.lines[self._row]) <= self.columns, "a line is too long for the screen"

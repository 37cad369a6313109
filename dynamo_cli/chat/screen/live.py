"""Lines on a terminal that may still change, redrawn in place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import TextIO

from dynamo_cli.chat.screen.display import unstyled

_BEGIN, _END = "\x1b[?2026h\x1b[?25l", "\x1b[?25h\x1b[?2026l"  # one update, without the cursor running about
_UP, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[{}A", "\x1b[K", "\x1b[J"


class LiveLines:
    """`draw` the lines again and again. What has scrolled out of reach stays as it was drawn last, and is shown once
    more if it turns out to say too little.

    The cursor stands below them. Only what differs is written, all in one write.
    """

    def __init__(self, out: TextIO, size: Callable[[], os.terminal_size] = shutil.get_terminal_size) -> None:
        self._out = out
        self._size = size
        self._shown: list[str] = []
        self._frozen: list[str] = []

    @property
    def touches_history(self) -> bool:
        """Whether the first of the lines are out of reach already."""
        return bool(self._frozen)

    def draw(self, lines: list[str], settled: int) -> None:
        """Show `lines`; the first `settled` of them are final, and the next call begins with the one after them."""
        columns, rows = self._size()
        self._freeze(columns, rows)
        del self._frozen[self._still_said(lines) :]
        shown, wanted = self._shown, lines[len(self._frozen) :]
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(shown, wanted, strict=False)))
        if same < len(shown) or same < len(wanted):
            up = sum(_height(line, columns) for line in shown[same:])
            fresh = "".join(f"{line}{_CLEAR_LINE}\n" for line in wanted[same:])
            self._out.write(f"{_BEGIN}\r{_UP.format(up) if up else ''}{fresh}{_CLEAR_BELOW}{_END}")
            self._out.flush()
        self._shown = wanted[max(0, settled - len(self._frozen)) :]
        del self._frozen[:settled]
        self._freeze(columns, rows)

    def _still_said(self, lines: list[str]) -> int:
        """How many of the lines out of reach can stay: all, unless a word of what is now there is not in them."""
        count = len(self._frozen)
        if _letters(self._frozen).startswith(_letters(lines[:count])):
            return count
        pairs = zip(self._frozen, lines, strict=False)
        return sum(1 for _ in takewhile(lambda pair: _letters(pair[:1]) == _letters(pair[1:]), pairs))

    def _freeze(self, columns: int, rows: int) -> None:
        """Let go of the lines that the cursor cannot reach."""
        heights = [_height(line, columns) for line in self._shown]
        total = sum(heights)
        for height in heights:
            if total < rows:
                return
            total -= height
            self._frozen.append(self._shown.pop(0))


def _letters(lines: Sequence[str]) -> str:
    """What the lines say, without how it looks or where it is wrapped."""
    return "".join(filter(str.isalnum, unstyled("".join(lines))))


def _height(line: str, columns: int) -> int:
    """The rows it takes: a terminal made narrower folds what is there."""
    from rich.cells import cell_len

    return max(1, -(-cell_len(unstyled(line)) // max(columns, 1)))

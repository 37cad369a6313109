"""An answer in a terminal, its markdown rendered while it comes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from typing import TextIO

from dynamo_cli.chat.screen.blocks import Renderer, split
from dynamo_cli.chat.screen.display import dim, printable
from dynamo_cli.chat.screen.live import LiveLines
from dynamo_cli.chat.thinking import Piece

REDRAW_S = 0.04
SHARE = 0.25
"""Of the time that may go into drawing."""
TAB = "    "


class RenderedDisplay:
    """Finished blocks are drawn once and left alone; the last one is drawn again as it grows."""

    def __init__(self, out: TextIO, size: Callable[[], os.terminal_size] = shutil.get_terminal_size) -> None:
        self._out = out
        self._size = size
        self._live = LiveLines(out, size)
        self._renderer = Renderer(out)
        self._text = ""
        self._width = 0
        self._begun = self._thinking = False
        self._next_s = 0.0

    def show(self, piece: Piece) -> None:
        text = printable(piece.text)
        if piece.kind == "reasoning":
            self._think(text)
            return
        self._end_thinking()
        self._text += text.replace("\t", TAB)
        if time.monotonic() >= self._next_s:
            self._draw(final=False)

    def close(self) -> None:
        self._end_thinking()
        self._draw(final=True)

    def _think(self, text: str) -> None:
        if self._text:
            self._draw(final=True)
        self._out.write(dim(text if self._thinking else text.lstrip()))
        self._out.flush()
        self._thinking = True

    def _end_thinking(self) -> None:
        if self._thinking:
            self._thinking, self._begun = False, True
            self._out.write("\n")

    def _draw(self, final: bool) -> None:
        began = time.monotonic()
        if not self._live.touches_history:
            self._width = max(self._size().columns, 1)
        finished, growing = split(self._text)
        if final:
            finished, growing = [*finished, growing], ""
        lines: list[str] = []
        begun = self._begun
        for block in finished:
            lines += self._lines(block, begun)
            begun = begun or bool(lines)
        settled = len(lines)
        self._live.draw(lines + self._lines(growing, begun), settled)
        self._text, self._begun = growing, begun
        now = time.monotonic()
        self._next_s = now + max(REDRAW_S, (now - began) / SHARE)

    def _lines(self, block: str, begun: bool) -> list[str]:
        lines = self._renderer.lines(block, self._width) if block.strip() else []
        return ["", *lines] if lines and begun else lines

"""Where the pieces of an answer go as they come."""

from __future__ import annotations

import os
import re
from typing import Protocol, TextIO

from dynamo_cli.chat.thinking import Piece

DIM, PLAIN = "\x1b[2m", "\x1b[0m"
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_UNPRINTABLE = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
_UNPRINTABLE[ord("\r")] = ""


class Display(Protocol):
    """`close` when the answer is over, whole or not: the cursor is on a fresh line then."""

    def show(self, piece: Piece) -> None: ...

    def close(self) -> None: ...


def styled(out: TextIO) -> bool:
    """Whether it is a terminal that knows more than letters."""
    return out.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


def open_display(out: TextIO, markdown: bool) -> Display:
    if markdown and styled(out):
        from dynamo_cli.chat.screen.rendered import RenderedDisplay

        return RenderedDisplay(out)
    return PlainDisplay(out)


def printable(text: str) -> str:
    """Without what could steer the terminal: a model may say anything."""
    return text.translate(_UNPRINTABLE)


def unstyled(line: str) -> str:
    """Only what takes room on a screen."""
    return _STYLE.sub("", line)


def dim(text: str) -> str:
    return f"{DIM}{text}{PLAIN}"


class PlainDisplay:
    """The text itself. What is thought is dim, or between two marks where nothing can be dim."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._styled = styled(out)
        self._kind = ""
        self._wrote = False

    def show(self, piece: Piece) -> None:
        text = printable(piece.text) if self._terminal else piece.text
        if piece.kind != self._kind:
            self._turn(piece.kind)
        self._out.write(dim(text) if self._styled and piece.kind == "reasoning" else text)
        self._out.flush()
        self._wrote = True

    def close(self) -> None:
        if self._wrote:
            self._out.write("\n")
            self._out.flush()

    def _turn(self, kind: str) -> None:
        if self._styled:
            self._out.write("\n\n" if self._kind else "")
        elif kind == "reasoning":
            self._out.write("[thinking]\n")
        elif self._kind:
            self._out.write("\n[answer]\n")
        self._kind = kind

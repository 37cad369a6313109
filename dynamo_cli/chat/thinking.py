"""What a model thinks before it answers, told apart from the answer."""

from __future__ import annotations

from typing import Literal, NamedTuple

OPEN, CLOSE = "<think>", "</think>"
Kind = Literal["answer", "reasoning"]


class Piece(NamedTuple):
    kind: Kind
    text: str


class ThinkSplitter:
    """Takes `<think>…</think>` out of the text of an answer, however it is cut.

    Only at the beginning and directly after another such block: further on the letters are part of what is said.
    """

    def __init__(self) -> None:
        self._held = ""
        self._kind: Kind = "answer"
        self._started = self._thought = False

    def feed(self, text: str) -> list[Piece]:
        """The pieces that are certain by now."""
        if self._started:
            return [Piece("answer", text)]
        self._held += text
        pieces: list[Piece] = []
        while self._held and (piece := self._next()) is not None:
            pieces.append(piece)
        return [piece for piece in pieces if piece.text]

    def flush(self) -> list[Piece]:
        """What was held back, at the end of the answer."""
        held, self._held = self._held, ""
        return [Piece(self._kind, held)] if held.strip() else []

    def _next(self) -> Piece | None:
        return self._think() if self._kind == "reasoning" else self._begin()

    def _begin(self) -> Piece | None:
        """Before the answer: a block opens, or the answer starts, or it cannot be told yet."""
        text = self._held.lstrip()
        if text.startswith(OPEN):
            self._kind, self._held, self._thought = "reasoning", text[len(OPEN) :], True
            return Piece("reasoning", "")
        if OPEN.startswith(text):
            return None
        return self._answer()

    def _answer(self) -> Piece:
        text, self._held = self._held, ""
        self._started = True
        return Piece("answer", text.lstrip() if self._thought else text)

    def _think(self) -> Piece | None:
        """All that is before the closing tag; what may be its beginning stays."""
        text, found, rest = self._held.partition(CLOSE)
        if found:
            self._kind, self._held = "answer", rest
            return Piece("reasoning", text)
        keep = _overlap(text, CLOSE)
        self._held = text[len(text) - keep :]
        return Piece("reasoning", text[: len(text) - keep]) if len(text) > keep else None


def _overlap(text: str, tag: str) -> int:
    """The length of the longest end of `text` that `tag` begins with."""
    return next((n for n in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:n])), 0)

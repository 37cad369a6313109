"""Pieces of text with a style, set side by side in columns of certain widths. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from textual.content import Content

GAP = "  "
CUT = "…"


class Cell(NamedTuple):
    text: str
    style: str = ""


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells; an ellipsis ends what is too long."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + CUT[: max(0, width)]


def fit(text: str, width: int, right: bool = False) -> str:
    """`text` in exactly `width` cells."""
    shown = cut(text, width)
    blank = " " * (width - cell_len(shown))
    return blank + shown if right else shown + blank


def row(cells: Sequence[Cell], width: int) -> Content:
    """Cells one after another, cut where there is no more room."""
    pieces: list[tuple[str, str]] = []
    for cell in cells:
        text = cut(cell.text, width)
        pieces.append((text, cell.style))
        width -= cell_len(text)
    return Content.assemble(*pieces)


def apart(left: Sequence[Cell], right: Sequence[Cell], width: int) -> Content:
    """Cells at the left, and at the right end others, which go first when there is no room for both."""
    used, more = (sum(cell_len(cell.text) for cell in cells) for cells in (left, right))
    if used + more + len(GAP) > width:
        return row(left, width)
    return row([*left, Cell(" " * (width - used - more)), *right], width)

"""The lines between the parts of the screen. Pure."""

from __future__ import annotations

from textual.content import Content

from dynamo_cli.tui.look import ACCENT, BUSY, QUIET, RULE
from dynamo_cli.tui.panes.cells import Cell, cut, row

LINE = "─"


def rule(title: list[Cell], notes: list[Cell], width: int) -> Content:
    """`── title ────── notes ──`."""
    room = width - 6
    told = [Cell(cut(cell.text, room), cell.style) for cell in title]
    used = sum(len(cell.text) for cell in told)
    more = sum(len(cell.text) for cell in notes)
    if used + more + 3 > room:
        notes, more = [], 0
    left = [Cell(f"{LINE * 2} ", RULE), *told, Cell(" ", "")]
    right = [Cell(" ", ""), *notes, Cell(f" {LINE}", RULE)] if notes else []
    middle = width - used - 4 - (more + 3 if notes else 0)
    return row([*left, Cell(LINE * max(0, middle), RULE), *right], width)


def log_title(
    of: str, *, focused: bool, following: bool, waiting: int, place: str, marks: list[str], width: int
) -> Content:
    """Whose log it is, whether the last line is followed, and what is left out or looked for."""
    title = [Cell("log", f"bold {ACCENT}" if focused else "bold"), Cell(f"  {of}", QUIET)]
    if following:
        state = Cell("following", QUIET)
    else:
        new = f", {waiting:,} new" if waiting else ""
        state = Cell(f"paused at {place}{new}; f follows", BUSY)
    notes = [Cell(f"{mark} · ", QUIET) for mark in marks]
    return rule(title, [*notes, state], width)

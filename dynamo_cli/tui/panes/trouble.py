"""What is wrong and what helps, on top of everything else. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from textual.content import Content

from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.tui.look import ACCENT, BAD, BUSY, QUIET, mark
from dynamo_cli.tui.panes.cells import Cell, row

SERVICES = 2
"""So many that are not well are told of; the table shows all."""


def trouble(
    status: DeploymentStatus, *, gone: str, last_words: Sequence[str], width: int, most: int = 1000
) -> list[Content]:
    """Lines of `width` cells, about `most` of them. `gone`: how its supervisor went, "" while it is there.

    `last_words`: the last lines of the first service that failed, when nothing can serve any more.
    """
    lines = [line for said in _said(status, gone) for line in said.lines(width)]
    if (failed := first_failed(status)) is None or not last_words:
        return lines
    shown = last_words[-max(1, most - len(lines)) :]
    return [*lines, *(row([Cell(f"   {failed.name} │ ", QUIET), Cell(line)], width) for line in shown)]


class Said(NamedTuple):
    """Words with something in front of them, folded beside it."""

    mark: Cell
    words: Cell

    def lines(self, width: int) -> list[Content]:
        mark, room = Cell(f" {self.mark.text}", self.mark.style), width - 1 - cell_len(self.mark.text)
        folded = textwrap.wrap(self.words.text, max(10, room), break_on_hyphens=False)
        blank = Cell(" " * cell_len(mark.text))
        return [row([blank if i else mark, Cell(line, self.words.style)], width) for i, line in enumerate(folded)]


def first_failed(status: DeploymentStatus) -> ServiceStatus | None:
    """The service to blame when nothing can serve any more."""
    if not is_lost(status):
        return None
    named = next((s for s in status.services if s.name == status.first_failed), None)
    return named or next((s for s in status.services if s.state == "FAILED"), None)


def is_lost(status: DeploymentStatus) -> bool:
    """Whether nothing of it can serve any more, by itself."""
    return status.state == "FAILED" or (status.state in ("STOPPING", "STOPPED") and bool(status.reason))


def _said(status: DeploymentStatus, gone: str) -> Iterator[Said]:
    if gone:
        words = gone.removesuffix(f": {status.reason}") if status.reason else gone
        yield Said(Cell("■ ", QUIET), Cell(f"{words} (q closes this)", "bold"))
    if is_lost(status):
        yield from _lost(status, gone)
    else:
        for service in [s for s in status.services if s.state in ("FAILED", "BACKOFF")][:SERVICES]:
            yield Said(Cell(f"{mark(service.state).symbol} ", BAD), Cell(f"{service.name}: {service.reason}", BAD))
            yield from _help(service, service.reason)
    if status.state == "STOPPING" and not gone:
        yield Said(Cell("◌ ", BUSY), Cell("stopping in order; Ctrl-C ends it at once", BUSY))
    yield from (Said(Cell("! ", BUSY), Cell(note, BUSY)) for note in status.notes)
    for change in status.changes:
        if not change.done:
            yield Said(Cell("↻ ", ACCENT), Cell(f"{change.what}: under way", QUIET))


def _lost(status: DeploymentStatus, gone: str) -> Iterator[Said]:
    if status.reason != gone:
        words = status.reason or "nothing can serve any more"
        yield Said(Cell(f"{mark('FAILED').symbol} ", BAD), Cell(words, f"bold {BAD}"))
    if (failed := first_failed(status)) is not None:
        yield from _help(failed, status.reason)


def _help(service: ServiceStatus, told: str) -> Iterator[Said]:
    if service.hint and service.hint not in told:
        yield Said(Cell("  → ", ACCENT), Cell(service.hint))
    if service.evidence:
        yield Said(Cell("  ", QUIET), Cell(f"evidence in {service.evidence}", QUIET))

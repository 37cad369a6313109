"""What is wrong and what helps, on top of everything else. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.content import Content

from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.tui.look import ACCENT, BAD, BUSY, QUIET, mark
from dynamo_cli.tui.panes.cells import Cell, row

SERVICES = 2
"""So many that are not well are told of; the table shows all."""


def trouble(status: DeploymentStatus, *, gone: str, last_words: Sequence[str], width: int) -> list[Content]:
    """Lines of `width` cells. `gone`: how its supervisor went, "" while it is there.

    `last_words`: the last lines of the first service that failed, when nothing can serve any more.
    """
    return [row([Cell(" "), *cells], width) for cells in _lines(status, gone, last_words)]


def first_failed(status: DeploymentStatus) -> ServiceStatus | None:
    """The service to blame when nothing can serve any more."""
    if not is_lost(status):
        return None
    named = next((s for s in status.services if s.name == status.first_failed), None)
    return named or next((s for s in status.services if s.state == "FAILED"), None)


def is_lost(status: DeploymentStatus) -> bool:
    """Whether nothing of it can serve any more, by itself."""
    return status.state == "FAILED" or (status.state in ("STOPPING", "STOPPED") and bool(status.reason))


def _lines(status: DeploymentStatus, gone: str, last_words: Sequence[str]) -> Iterator[list[Cell]]:
    if gone:
        words = gone.removesuffix(f": {status.reason}") if status.reason else gone
        yield [Cell("■ ", QUIET), Cell(words, "bold"), Cell("  q closes this", ACCENT)]
    if is_lost(status) and status.reason != gone:
        yield [
            Cell(f"{mark('FAILED').symbol} ", BAD),
            Cell(status.reason or "nothing can serve any more", f"bold {BAD}"),
        ]
        if (failed := first_failed(status)) is not None:
            yield from _help(failed, status.reason)
            yield from ([Cell(f"  {failed.name} │ ", QUIET), Cell(line)] for line in last_words)
    else:
        for service in [s for s in status.services if s.state in ("FAILED", "BACKOFF")][:SERVICES]:
            yield [Cell(f"{mark(service.state).symbol} ", BAD), Cell(f"{service.name}: {service.reason}", BAD)]
            yield from _help(service, service.reason)
    if status.state == "STOPPING" and not gone:
        yield [Cell("◌ ", BUSY), Cell("stopping in order; Ctrl-C ends it at once", BUSY)]
    yield from ([Cell("! ", BUSY), Cell(note, BUSY)] for note in status.notes)
    for change in status.changes:
        if not change.done:
            yield [Cell("↻ ", ACCENT), Cell(f"{change.what}: under way", QUIET)]


def _help(service: ServiceStatus, told: str) -> Iterator[list[Cell]]:
    if service.hint and service.hint not in told:
        yield [Cell("  → ", ACCENT), Cell(service.hint)]
    if service.evidence:
        yield [Cell("  ", ""), Cell(f"evidence in {service.evidence}", QUIET)]

"""The report as people and programs read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dynamo_cli import __version__
from dynamo_cli.doctor.check import STATUSES, Check, Status, counted
from dynamo_cli.doctor.examine import Group
from dynamo_cli.doctor.machine import Asked

if TYPE_CHECKING:
    from rich.console import RenderableType

MARKS: Mapping[Status, str] = {"ok": "ok", "warn": "warn", "error": "error", "skipped": "-"}
STYLES: Mapping[Status, str] = {"ok": "green", "warn": "yellow", "error": "bold red", "skipped": "dim"}
MARK_WIDTH, NAME_WIDTH = 5, 20
INDENT = "  "


def failed(groups: Iterable[Group]) -> bool:
    return any(check.status == "error" for group in groups for check in group.checks)


def problems_only(group: Group) -> Group:
    return group._replace(checks=[check for check in group.checks if check.status in ("warn", "error")])


def plain(group: Group) -> Iterator[str]:
    """A line per check, and one for what to do."""
    yield group.name
    for check in group.checks:
        yield f"{INDENT}{MARKS[check.status]:<{MARK_WIDTH}}  {check.name:<{NAME_WIDTH}}  {check.detail}".rstrip()
        if check.fix:
            yield f"{INDENT}{'':{MARK_WIDTH}}  fix: {check.fix}"


def rich_group(group: Group) -> RenderableType:
    """The same with colours, long lines folded under themselves."""
    from rich.console import Group as Lines
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(min_width=MARK_WIDTH + len(INDENT), no_wrap=True)
    table.add_column(min_width=NAME_WIDTH, overflow="fold")
    table.add_column(overflow="fold")
    for check in group.checks:
        style = STYLES[check.status]
        table.add_row(Text(f"{INDENT}{MARKS[check.status]}", style=style), Text(check.name), _cell(check))
    return Lines(Text(group.name, style="bold"), table)


def _cell(check: Check) -> RenderableType:
    from rich.text import Text

    text = Text(check.detail, style="dim" if check.status == "skipped" else "")
    if check.fix:
        text.append("\nfix: ", style="bold").append(check.fix)
    return text


def summary(groups: Sequence[Group]) -> str:
    """`12 ok, 2 warnings, 1 error`."""
    count = counts(groups)
    words = [f"{count['ok']} ok", counted(count["warn"], "warning"), counted(count["error"], "error")]
    return ", ".join([*words, *([f"{count['skipped']} skipped"] if count["skipped"] else [])])


def counts(groups: Iterable[Group]) -> dict[Status, int]:
    found = [check.status for group in groups for check in group.checks]
    return {status: found.count(status) for status in STATUSES}


def as_json(groups: Sequence[Group], asked: Asked, terse: bool = False) -> str:
    """`terse` leaves checks out of the list, not out of the counts."""
    import msgspec

    shown = map(problems_only, groups) if terse else groups
    checks: list[dict[str, Any]] = [
        {"group": group.name, **check._asdict()} for group in shown for check in group.checks
    ]
    report = {
        "ok": not failed(groups),
        "version": __version__,
        "topology": asked.topology or None,
        "thorough": asked.thorough,
        "counts": counts(groups),
        "checks": checks,
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()

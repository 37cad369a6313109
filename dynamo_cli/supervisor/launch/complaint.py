"""Why a deployment failed, on one screen: which process, why, what helps, where to read more, and its last lines."""

from __future__ import annotations

import os
import sys

from dynamo_cli.logs.files import log_file
from dynamo_cli.logs.tail import last_lines
from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.traces import without_frames

LOOKED_AT = 60
"""Of a log: a trace may be long, and only its end is shown."""
SHOWN, FEWEST = 8, 3
"""Lines of the process that are shown, and are even where the reason takes many."""
NO_TERMINAL = os.terminal_size((100, 24))
"""Columns and rows that a file is written for."""
TOLD = 200
"""Characters of a line that is too long for the screen: when the reason has them it is not shown again."""
LONGEST = 2
"""Rows of a line."""
SPARE = 2
"""Rows of the prompt below, and of the command above."""


def complaint(paths: DeploymentPaths, status: DeploymentStatus) -> str:
    """Of the first process that failed or is not ready, its last lines last."""
    unready = next((s.name for s in status.services if not s.ready), "")
    failed = next((s for s in status.services if s.name == (status.first_failed or unready)), None)
    columns, rows = _size()
    if failed is None:
        return explained(status, None, [], columns, rows)
    lines = last_lines(log_file(paths, failed.name), LOOKED_AT)
    return explained(status, failed, lines, columns, rows)


def _size() -> os.terminal_size:
    try:
        return os.get_terminal_size(sys.stderr.fileno())
    except OSError:
        return NO_TERMINAL


def explained(status: DeploymentStatus, failed: ServiceStatus | None, lines: list[str], columns: int, rows: int) -> str:
    """`lines`: the last of the process, of which as many are shown as the screen has room for."""
    told = [f"dynamo: deployment {status.deployment} failed: {status.reason}"]
    if failed is None:
        return told[0]
    if failed.hint and failed.hint not in status.reason:
        told.append(f"dynamo: hint: {failed.hint}")
    if failed.evidence:
        told.append(f"dynamo: evidence in {failed.evidence}")
    told.append(f"dynamo: next: {_next(status, failed)}")
    room = rows - SPARE - sum(_rows(line, columns) for line in told)
    said = [line for line in without_frames(lines) if len(line) <= columns or line[:TOLD] not in status.reason]
    shown = [_cut(f"{failed.name} | {line}", LONGEST * columns) for line in said[-SHOWN:]]
    while len(shown) > FEWEST and sum(_rows(line, columns) for line in shown) > room:
        del shown[0]
    return "\n".join([*told, *shown])


def _rows(line: str, columns: int) -> int:
    return max(1, -(-len(line) // columns))


def _next(status: DeploymentStatus, failed: ServiceStatus) -> str:
    logs = "logs --crash" if failed.evidence else "logs"
    more = f"`dynamo {logs} {failed.name} -d {status.deployment}` shows more"
    return f"{more}, `dynamo doctor {status.topology}` looks for causes"


def _cut(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[: most - 1]}…"

"""The first line: which deployment it is, how it is, and where to send requests. Pure."""

from __future__ import annotations

from textual.content import Content

from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.supervisor.table import uptime
from dynamo_cli.tui.look import ACCENT, QUIET, mark
from dynamo_cli.tui.panes.cells import GAP, Cell, apart, cut

NARROW = 100


def head(status: DeploymentStatus, width: int, ended: bool) -> Content:
    """`ended`: its supervisor has gone."""
    state = "ENDED" if ended else status.state
    symbol, style = mark("STOPPED" if ended else status.state)
    services = [service for service in status.services if not service.done and not service.leaving]
    ready = sum(service.ready for service in services)
    left = [
        Cell(f" {status.deployment}", "bold"),
        Cell(GAP),
        Cell(f"{symbol} {state}", f"bold {style}"),
        Cell(f"{GAP}{ready}/{len(services)} ready", QUIET),
        Cell(f"{GAP}up {uptime(status.uptime_s)}" if status.uptime_s else "", QUIET),
    ]
    models = cut(", ".join(status.models), 24 if width < NARROW else width // 3)
    url = f"{status.url}/v1" if status.url else ""
    return apart(left, [Cell(models, QUIET), Cell(GAP if models else ""), Cell(f"{url} ", ACCENT)], width)

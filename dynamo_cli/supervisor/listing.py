"""`dynamo ps`: every deployment of this user in a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from dynamo_cli.errors import NotReady
from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.supervisor import deployments
from dynamo_cli.supervisor.columns import GAP
from dynamo_cli.supervisor.deployments import Deployment, status_of
from dynamo_cli.supervisor.table import uptime

COLUMNS = ("NAME", "STATE", "READY", "UPTIME", "PID", "URL", "MODELS", "TOPOLOGY")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """`ready` of `services` processes are; `pid` is the supervisor's."""

    deployment: str
    state: str
    reason: str
    ready: int
    services: int
    uptime_s: float
    pid: int | None
    url: str
    models: list[str]
    topology: str


def listed(with_stopped: bool) -> list[Row]:
    """The latest first."""
    return [_row(each) for each in deployments.known() if with_stopped or each.running]


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """Aligned columns."""
    if not rows:
        yield deployments.NONE_RUNNING
        return
    cells = [COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
    for line in cells:
        yield GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _row(deployment: Deployment) -> Row:
    if deployment.running:
        with suppress(NotReady):  # it has ended meanwhile
            return _running_row(status_of(deployment))
    return Row(
        deployment=deployment.name,
        state="STOPPED",
        reason=deployment.record.reason,
        ready=0,
        services=0,
        uptime_s=0.0,
        pid=None,
        url="",
        models=[],
        topology=deployment.record.topology,
    )


def _running_row(status: DeploymentStatus) -> Row:
    return Row(
        deployment=status.deployment,
        state=status.state,
        reason=status.reason,
        ready=sum(service.ready or service.done for service in status.services),
        services=len(status.services),
        uptime_s=status.uptime_s,
        pid=status.supervisor_pid or None,
        url=status.url,
        models=status.models,
        topology=status.topology,
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.deployment,
        row.state,
        f"{row.ready}/{row.services}" if row.services else "-",
        uptime(row.uptime_s) if row.uptime_s else "-",
        str(row.pid or "-"),
        row.url or "-",
        ", ".join(row.models) or "-",
        row.topology,
    )

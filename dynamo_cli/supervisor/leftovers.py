"""Ending a deployment: through its supervisor, or by hand when that is dead."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time

from dynamo_cli.errors import DynamoError, ResourceMissing
from dynamo_cli.supervisor.deployments import Deployment
from dynamo_cli.supervisor.gpu_memory import wait_until_freed
from dynamo_cli.supervisor.processes import alive, send
from dynamo_cli.supervisor.record import read_plan, write
from dynamo_cli.supervisor.sweep import marks, sweep

logger = logging.getLogger("dynamo.supervisor")

POLL_S = 0.02
GRACE_S = 10.0
FORCED_S = 15.0
"""How long a supervisor may need after it was told to lose patience."""


def take_down(deployment: Deployment, timeout_s: float | None = None) -> None:
    """Stop a deployment in order and return when all of it is gone; after `timeout_s` without patience."""
    if deployment.record.supervised:
        _stop_supervised(deployment, timeout_s)
    end_leftovers(deployment)


def end_leftovers(deployment: Deployment) -> int:
    """End what a dead supervisor left: TERM to the services, KILL to all after their stop timeout. Returns how many."""
    record = deployment.record
    left = deployment.leftovers()
    if left:
        _terminate(deployment)
        asyncio.run(sweep(list(record.processes.values()), marks(record.deployment_id)))
        plan = read_plan(deployment.paths)
        wait_until_freed(record.deployment_id, plan.processes if plan else (), logger.warning)
    if record.state != "STOPPED" and not record.supervised:
        deployment.paths.tidy(all_ended=True)
        record.state, record.reason = "STOPPED", "supervisor died"
        with contextlib.suppress(ResourceMissing):  # nothing runs any more, whatever the file says
            write(deployment.paths.state, record)
    return len(left)


def _stop_supervised(deployment: Deployment, timeout_s: float | None) -> None:
    record, client = deployment.record, deployment.client
    try:
        client.stop()
    except DynamoError:
        send(record.supervisor, signal.SIGTERM)
    if _gone(deployment, timeout_s if timeout_s is not None else _patience(deployment)):
        return
    try:
        client.stop(force=True)
    except DynamoError:
        send(record.supervisor, signal.SIGTERM)
    if not _gone(deployment, FORCED_S):
        send(record.supervisor, signal.SIGKILL)
        _gone(deployment, FORCED_S)


def _gone(deployment: Deployment, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while alive(deployment.record.supervisor):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _patience(deployment: Deployment) -> float:
    """Frontends, then workers: twice the longest stop timeout, and a little for the sweeps."""
    plan = read_plan(deployment.paths)
    longest = max((spec.stop_timeout_s for spec in plan.processes), default=0.0) if plan else GRACE_S
    return 2 * longest + GRACE_S


def _terminate(deployment: Deployment) -> None:
    plan = read_plan(deployment.paths)
    mains = [p for p in deployment.record.processes.values() if alive(p)]
    for process in mains:
        send(process, signal.SIGTERM)
    grace = max((spec.stop_timeout_s for spec in plan.processes), default=0.0) if plan else GRACE_S
    deadline = time.monotonic() + grace
    while any(map(alive, mains)) and time.monotonic() < deadline:
        time.sleep(POLL_S)

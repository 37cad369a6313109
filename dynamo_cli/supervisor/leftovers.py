"""Ending a deployment: through its supervisor, or by hand when that is dead."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time

from dynamo_cli.errors import DynamoError, NotReady, ResourceMissing
from dynamo_cli.supervisor.deployments import Deployment, open_deployment
from dynamo_cli.supervisor.gpu_memory import wait_until_freed
from dynamo_cli.supervisor.processes import ProcessId, alive, send
from dynamo_cli.supervisor.record import read_plan, remove_drafts, take_lock, write
from dynamo_cli.supervisor.sweep import marks, sweep

logger = logging.getLogger("dynamo.supervisor")

POLL_S = 0.02
GRACE_S = 10.0
LOCKED_S = 20.0
"""How long another command that starts the deployment or takes it over may need."""
FORCED_S = 15.0
"""How long a supervisor may need after it was told to lose patience."""


def take_down(deployment: Deployment, timeout_s: float | None = None) -> None:
    """Stop a deployment in order and return when all of it is gone; after `timeout_s` without patience.

    NotReady when another command keeps it to itself.
    """
    deadline = time.monotonic() + LOCKED_S
    while True:
        if deployment.record.supervised:
            _stop_supervised(deployment, timeout_s)
        lock = take_lock(deployment.paths)
        if lock is not None:
            break
        if time.monotonic() > deadline:
            raise NotReady(f"deployment {deployment.name} is being started by another command; try again")
        time.sleep(POLL_S)
        deployment = open_deployment(deployment.name, deployment.paths.root.parent) or deployment
    try:
        end_leftovers(open_deployment(deployment.name, deployment.paths.root.parent) or deployment, timeout_s)
    finally:
        os.close(lock)


def end_leftovers(deployment: Deployment, timeout_s: float | None = None) -> int:
    """End what a dead supervisor left: TERM to the services, frontends first, and KILL to all after their stop timeout.

    Only who holds the deployment's lock may. Returns how many processes there were.
    """
    record = deployment.record
    left = deployment.leftovers()
    if left:
        _terminate(deployment, timeout_s)
        asyncio.run(sweep(list(record.processes.values()), marks(record.deployment_id)))
        plan = read_plan(deployment.paths)
        wait_until_freed(record.deployment_id, plan.processes if plan else (), logger.warning)
    if record.state != "STOPPED" and not record.supervised:
        deployment.paths.tidy(all_ended=True)
        record.state, record.reason = "STOPPED", "supervisor died"
        with contextlib.suppress(ResourceMissing):  # nothing runs any more, whatever the file says
            write(deployment.paths.state, record)
    remove_drafts(deployment.paths)
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


def _terminate(deployment: Deployment, timeout_s: float | None) -> None:
    plan = read_plan(deployment.paths)
    specs = {spec.name: spec for spec in plan.processes} if plan else {}
    frontends = {name for name, spec in specs.items() if spec.kind == "frontend"}
    grace = max((spec.stop_timeout_s for spec in specs.values()), default=GRACE_S) if timeout_s is None else timeout_s
    processes = deployment.record.processes
    _end_in_time([process for name, process in processes.items() if name in frontends], grace)
    _end_in_time([process for name, process in processes.items() if name not in frontends], grace)


def _end_in_time(mains: list[ProcessId], grace_s: float) -> None:
    for process in mains:
        send(process, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while any(map(alive, mains)) and time.monotonic() < deadline:
        time.sleep(POLL_S)

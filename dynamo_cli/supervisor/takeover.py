"""A deployment whose supervisor died gets another one: which commands ask for, and `up -d`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import NamedTuple

from dynamo_cli.errors import DynamoError, NotReady
from dynamo_cli.logs.files import OWN_LOG, log_file
from dynamo_cli.logs.tail import last_lines
from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.supervisor import adopting
from dynamo_cli.supervisor.adoption import obstacle
from dynamo_cli.supervisor.deployments import Deployment, open_deployment
from dynamo_cli.supervisor.record import read_plan, take_lock
from dynamo_cli.supervisor.watching import wait_until
from dynamo_cli.topology.process import Plan

POLL_S = 0.02
PATIENCE_S = 20.0
SETTLED_S = 2.0
"""So long it is given to find that all is well, before somebody is told of its state."""


class Takeover(NamedTuple):
    """`deployment`: as it is now. `words`: what happened to it, or why it stays without supervisor; "" for nothing."""

    deployment: Deployment
    words: str = ""


def why_not(deployment: Deployment) -> str:
    """Why nobody can take it over, "" when somebody can. One that is supervised needs nobody."""
    if deployment.record.supervised:
        return "it has a supervisor"
    return obstacle(deployment.record, read_plan(deployment.paths), len(deployment.leftovers()))


def take_over(deployment: Deployment) -> Takeover:
    """Give a detached deployment whose supervisor died another one, if it can be; returns when that one answers."""
    if why_not(deployment):
        return Takeover(deployment)
    lock = take_lock(deployment.paths)
    if lock is None:
        return Takeover(_awaited(deployment, None))
    try:
        deployment = open_deployment(deployment.name) or deployment  # somebody may have been here since
        plan = read_plan(deployment.paths)
        if plan is None or why_not(deployment):
            return Takeover(deployment)
        daemon = _start(deployment, plan, lock)
    finally:
        os.close(lock)
    before, taken = deployment.record.supervisor.pid, _awaited(deployment, daemon)
    if taken.record.supervised:
        return Takeover(taken, f"the supervisor of {taken.name} (pid {before}) died; another one has taken over")
    last = last_lines(log_file(taken.paths, OWN_LOG), 1)
    why = last[0].removeprefix("dynamo: ") if last else "it ended without a word"
    return Takeover(taken, f"the supervisor of {taken.name} (pid {before}) died, and no other can take over: {why}")


def instead_of_starting(name: str) -> Takeover | None:
    """For `up -d`: the deployment of that name, if it lives on without supervisor and now has one again.

    None when there is nothing to take over. DynamoError when it cannot be taken over although it serves.
    """
    found = open_deployment(name)
    if found is None or why_not(found):
        return None
    taken = take_over(found)
    if not taken.deployment.record.supervised:
        raise DynamoError(taken.words or f"deployment {name} is being ended by another command; try again")
    return taken


def differs(deployment: Deployment, digest: str) -> str:
    """What to say when it runs another topology than the one of this digest, else ""."""
    plan = read_plan(deployment.paths)
    if plan is None or plan.digest in ("", digest):
        return ""
    name = deployment.name
    return (
        f"{name} serves on as it was started, but {plan.source} or what you override is another now; "
        f"`dynamo apply {plan.source}` changes it over"
    )


def settled(deployment: Deployment, timeout_s: float) -> DeploymentStatus:
    """The status once it is READY, one of its services is given up, or time is over. NotReady when it has ended."""
    last: list[DeploymentStatus] = []

    def done(status: DeploymentStatus) -> bool:
        last[:] = [status]
        return status.state == "READY" or any(service.state == "FAILED" for service in status.services)

    try:
        return wait_until(deployment, done, timeout_s)
    except NotReady:
        if not last:
            raise
        return last[0]


def _start(deployment: Deployment, plan: Plan, lock: int) -> subprocess.Popen[bytes]:
    """With environment and directory of the dead one, not with ours: it starts processes in them."""
    command = [sys.executable, "-m", "dynamo_cli.supervisor", deployment.name, "--lock-fd", str(lock), "--adopt"]
    with log_file(deployment.paths, OWN_LOG).open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock],
            env=adopting.original_environment(deployment, plan) or None,
            cwd=adopting.original_directory(deployment, plan) or None,
            start_new_session=True,
        )


def _awaited(deployment: Deployment, daemon: subprocess.Popen[bytes] | None) -> Deployment:
    """The deployment once its new supervisor answers and knows its processes, or has failed."""
    deadline = time.monotonic() + PATIENCE_S
    settled = None
    while time.monotonic() < (settled or deadline):
        deployment = open_deployment(deployment.name) or deployment
        if daemon and daemon.poll() is not None:
            break
        try:
            status = deployment.client.status() if deployment.record.supervised else None
        except DynamoError:
            status = None
        if status:
            settled = settled or time.monotonic() + SETTLED_S
            if status.state == "READY":
                break
        time.sleep(POLL_S)
    return deployment

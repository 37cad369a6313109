"""`up -d`: a supervisor of its own session, awaited until its deployment is READY, else taken down again."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable

from dynamo_cli.errors import NotReady
from dynamo_cli.runtime.control import ControlClient, DeploymentStatus
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.exits import exit_class
from dynamo_cli.supervisor.launch import daemon as daemons
from dynamo_cli.supervisor.launch.claim import Claim
from dynamo_cli.supervisor.launch.complaint import complaint
from dynamo_cli.supervisor.launch.interrupts import Interrupted, Interrupts
from dynamo_cli.supervisor.launch.outcome import Outcome
from dynamo_cli.supervisor.patience import patience_of
from dynamo_cli.supervisor.waiting import Waiting

POLL_S = 0.05
EVIDENCE_S = 1.0


def run_detached(held: Claim, timeout_s: float | None, tell: Callable[[str], object] = str) -> Outcome:
    """Return when the deployment is READY, else when all of it is gone.

    `timeout_s` None: as long as its engines need. `tell` hears what it waits for, where that takes long.
    """
    paths = held.assignment.paths
    patience_s = patience_of(held.assignment.plan.processes) if timeout_s is None else timeout_s
    with Interrupts() as interrupts:
        try:
            daemon = daemons.start(held)
        finally:
            held.release()
        try:
            interrupts.let_in()
            outcome = _await_ready(daemon, paths, patience_s, tell)
        except Interrupted as asked:
            _abandon(daemon, paths)
            return Outcome(asked.exit_code)
    if outcome.exit_code:
        daemons.abandon(daemon, paths)
    return outcome


def _abandon(daemon: subprocess.Popen[bytes], paths: DeploymentPaths) -> None:
    """The next interrupt does not wait: the supervisor, asked again, loses its patience and ends by itself."""
    try:
        daemons.abandon(daemon, paths)
    except Interrupted:
        daemon.terminate()


def _await_ready(
    daemon: subprocess.Popen[bytes], paths: DeploymentPaths, timeout_s: float, tell: Callable[[str], object]
) -> Outcome:
    client, status, waiting = ControlClient(paths.control_socket), None, Waiting()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if daemon.poll() is not None:
            return Outcome(1, None, daemons.obituary(daemon, paths))
        with contextlib.suppress(NotReady):
            status = client.status()
            for line in waiting.lines(status):
                tell(line)
            if status.state == "READY":
                return Outcome(0, status)
            if any(s.state == "FAILED" for s in status.services):
                status = _with_evidence(client, status)
                return Outcome(_failed_exit_code(status), status, complaint(paths, status))
        time.sleep(POLL_S)
    late = f"not ready within {timeout_s:g} s"
    if status is None:
        return Outcome(3, None, f"dynamo: deployment {paths.deployment} is {late}")
    status.reason = f"{late}: {status.reason}" if status.reason else late
    return Outcome(3, status, complaint(paths, status))


def _with_evidence(client: ControlClient, status: DeploymentStatus) -> DeploymentStatus:
    """The status once the evidence of the first failure is written, or it takes too long."""
    deadline = time.monotonic() + EVIDENCE_S
    with contextlib.suppress(NotReady):
        while time.monotonic() < deadline:
            if any(s.evidence for s in status.services if s.name == status.first_failed):
                break
            time.sleep(POLL_S)
            status = client.status()
    return status


def _failed_exit_code(status: DeploymentStatus) -> int:
    return exit_class(next((s.exit_code for s in status.services if s.name == status.first_failed), None))

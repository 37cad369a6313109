"""A supervisor as a process of its own: `up` starts it, and takes down what it started when that came to nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from dynamo_cli.logs.files import OWN_LOG, log_file
from dynamo_cli.logs.tail import last_lines
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.deployments import open_deployment
from dynamo_cli.supervisor.launch.claim import Claim
from dynamo_cli.supervisor.leftovers import take_down
from dynamo_cli.supervisor.lifeline import Lifeline
from dynamo_cli.supervisor.processes import ProcessId
from dynamo_cli.supervisor.record import write

LAST_LINES = 20


def start(held: Claim, lifeline: Lifeline | None = None) -> subprocess.Popen[bytes]:
    """It inherits the lock and the listening socket, and with `lifeline` its end of that."""
    assignment = held.assignment
    inherited = {"--lock-fd": held.lock}
    if assignment.listener:
        inherited["--listen-fd"] = assignment.listener.fileno()
    if lifeline:
        inherited["--lifeline-fd"] = lifeline.theirs.fileno()
    numbers = [word for flag, descriptor in inherited.items() for word in (flag, str(descriptor))]
    with log_file(assignment.paths, OWN_LOG).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dynamo_cli.supervisor", assignment.plan.deployment, *numbers],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=list(inherited.values()),
            start_new_session=True,
        )


def obituary(daemon: subprocess.Popen[bytes], paths: DeploymentPaths) -> str:
    """Of one that ended without being asked to."""
    words = "\n".join(last_lines(log_file(paths, OWN_LOG), LAST_LINES))
    return f"dynamo: the supervisor ended with code {daemon.returncode}\n{words}"


def abandon(daemon: subprocess.Popen[bytes], paths: DeploymentPaths) -> None:
    """Take down what was started, even when its supervisor was killed."""
    deployment = open_deployment(paths.deployment)
    if deployment and deployment.record.supervised and deployment.record.supervisor.pid == daemon.pid:
        take_down(deployment)  # before it has written itself down the record names us
    with contextlib.suppress(subprocess.TimeoutExpired):
        daemon.terminate()
        daemon.wait(5.0)
    daemon.kill()
    daemon.wait()
    deployment = open_deployment(paths.deployment)
    if deployment:
        if deployment.record.supervisor.pid == os.getpid():
            deployment.record.supervisor = ProcessId(daemon.pid, 0)  # it ended before it had written down its own
            write(paths.state, deployment.record)
        take_down(deployment)

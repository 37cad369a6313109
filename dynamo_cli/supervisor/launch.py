"""From a plan to a running deployment, in the foreground or detached."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from dynamo_cli.errors import NotReady, PortBusy, UsageError
from dynamo_cli.logs.files import OWN_LOG, log_file, set_aside
from dynamo_cli.logs.keeping import rotation
from dynamo_cli.logs.tail import LogFollower, last_lines
from dynamo_cli.runtime.control import ControlClient, DeploymentStatus
from dynamo_cli.runtime.http import listener
from dynamo_cli.runtime.logs import configure_handler, log_settings
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor import view
from dynamo_cli.supervisor.deployments import Deployment, open_deployment, running
from dynamo_cli.supervisor.exits import exit_class
from dynamo_cli.supervisor.leftovers import end_leftovers, take_down
from dynamo_cli.supervisor.patience import patience_of
from dynamo_cli.supervisor.processes import ProcessId, identify
from dynamo_cli.supervisor.record import Record, remove_drafts, take_lock, write
from dynamo_cli.supervisor.supervisor import INTERRUPTED, Assignment, Supervisor
from dynamo_cli.supervisor.waiting import Waiting
from dynamo_cli.topology.process import Plan

POLL_S = 0.05
LAST_LINES = 20
EVIDENCE_S = 1.0
LOCK_PATIENCE_S = 0.2
"""Who only looks whether the name is taken holds its lock for a moment."""


class Outcome(NamedTuple):
    """How an `up` ended: the exit code, the last status, and what to tell on stderr, the child's own words last."""

    exit_code: int
    status: DeploymentStatus | None = None
    complaint: str = ""


class Claim(NamedTuple):
    """A deployment's name and port, ours until the descriptors are closed."""

    assignment: Assignment
    lock: int

    def release(self) -> None:
        os.close(self.lock)
        if self.assignment.listener:
            self.assignment.listener.close()


def claim(plan: Plan, detached: bool) -> Claim:
    """Take the name, end what a dead supervisor left under it, and bind the port. UsageError when it runs already."""
    log_settings(os.environ)
    rotation(os.environ)
    paths = DeploymentPaths(plan.deployment)
    paths.ensure()
    lock = take_lock(paths, LOCK_PATIENCE_S)
    if lock is None:
        raise UsageError(_already_running(plan.deployment))
    try:
        previous = open_deployment(plan.deployment)
        if previous:
            end_leftovers(previous)
            paths.ensure()
        remove_drafts(paths)
        bound = _bind(plan) if _needs_listener(plan) else None
        set_aside(paths)
        record = _new_record(plan, bound, detached)
        write(paths.plan, plan)
        write(paths.state, record)
    except BaseException:
        os.close(lock)
        raise
    return Claim(Assignment(plan, paths, record, bound), lock)


def run_foreground(held: Claim, as_json: bool = False) -> Outcome:
    """Run the deployment until Ctrl-C, SIGTERM, `down`, or until nothing of it can serve any more."""
    try:
        return asyncio.run(_foreground(held.assignment, as_json))
    finally:
        held.release()


def run_detached(held: Claim, timeout_s: float | None, tell: Callable[[str], object] = str) -> Outcome:
    """Start a supervisor of its own session and return when the deployment is READY, else when all of it is gone.

    `timeout_s` None: as long as its engines need. `tell` hears what it waits for, where that takes long.
    """
    paths = held.assignment.paths
    patience_s = patience_of(held.assignment.plan.processes) if timeout_s is None else timeout_s
    try:
        daemon = _start_daemon(held)
    finally:
        held.release()
    try:
        outcome = _await_ready(daemon, paths, patience_s, tell)
    except KeyboardInterrupt:
        _abandon(daemon, paths)
        return Outcome(INTERRUPTED)
    if outcome.exit_code:
        _abandon(daemon, paths)
    return outcome


async def supervise(assignment: Assignment) -> None:
    """The life of a detached supervisor."""
    supervisor = Supervisor(assignment)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, supervisor.stop)
    await supervisor.run()


async def _foreground(assignment: Assignment, as_json: bool) -> Outcome:
    names = [spec.name for spec in assignment.plan.processes]
    follower = LogFollower([(name, log_file(assignment.paths, name)) for name in [*names, OWN_LOG]])
    _log_to(assignment.paths)
    supervisor = Supervisor(assignment)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, lambda: supervisor.stop(exit_code=INTERRUPTED))
    for signum in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, supervisor.stop)
    shown = view.open_view(names, as_json)
    showing = asyncio.ensure_future(
        view.show(shown, follower, assignment.paths, supervisor.bus, lambda: supervisor.status)
    )
    try:
        await supervisor.run()
    finally:
        supervisor.bus.close()
        await showing
    if supervisor.failure:
        return Outcome(supervisor.exit_code, supervisor.status, _complaint(assignment.paths, supervisor.status))
    return Outcome(supervisor.exit_code, supervisor.status)


def _log_to(paths: DeploymentPaths) -> None:
    configure_handler(logging.FileHandler(log_file(paths, OWN_LOG), encoding="utf-8"), stamped=True)
    logging.raiseExceptions = False  # or a full disk makes it print stacks on the terminal


def _start_daemon(held: Claim) -> subprocess.Popen[bytes]:
    assignment = held.assignment
    descriptors = [held.lock]
    command = [sys.executable, "-m", "dynamo_cli.supervisor", assignment.plan.deployment, "--lock-fd", str(held.lock)]
    if assignment.listener:
        descriptors.append(assignment.listener.fileno())
        command += ["--listen-fd", str(assignment.listener.fileno())]
    with log_file(assignment.paths, OWN_LOG).open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=descriptors,
            start_new_session=True,
        )


def _await_ready(
    daemon: subprocess.Popen[bytes], paths: DeploymentPaths, timeout_s: float, tell: Callable[[str], object]
) -> Outcome:
    client, status, waiting = ControlClient(paths.control_socket), None, Waiting()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if daemon.poll() is not None:
            words = "\n".join(last_lines(log_file(paths, OWN_LOG), LAST_LINES))
            return Outcome(1, None, f"dynamo: the supervisor ended with code {daemon.returncode}\n{words}")
        with contextlib.suppress(NotReady):
            status = client.status()
            for line in waiting.lines(status):
                tell(line)
            if status.state == "READY":
                return Outcome(0, status)
            if any(s.state == "FAILED" for s in status.services):
                status = _with_evidence(client, status)
                return Outcome(_failed_exit_code(status), status, _complaint(paths, status))
        time.sleep(POLL_S)
    late = f"not ready within {timeout_s:g} s"
    if status is None:
        return Outcome(3, None, f"dynamo: deployment {paths.deployment} is {late}")
    status.reason = f"{late}: {status.reason}" if status.reason else late
    return Outcome(3, status, _complaint(paths, status))


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


def _abandon(daemon: subprocess.Popen[bytes], paths: DeploymentPaths) -> None:
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


def _complaint(paths: DeploymentPaths, status: DeploymentStatus) -> str:
    """Why, what helps and where to read more, then the last lines of the first child that failed or is not ready."""
    unready = next((s.name for s in status.services if not s.ready), "")
    failed = next((s for s in status.services if s.name == (status.first_failed or unready)), None)
    words = [f"dynamo: deployment {status.deployment} failed: {status.reason}"]
    if failed is None:
        return words[0]
    if failed.hint and failed.hint not in status.reason:
        words.append(f"dynamo: hint: {failed.hint}")
    if failed.evidence:
        words.append(f"dynamo: evidence in {failed.evidence}")
    lines = last_lines(log_file(paths, failed.name), LAST_LINES)
    return "\n".join([*words, *(f"{failed.name} | {line}" for line in lines)])


def _failed_exit_code(status: DeploymentStatus) -> int:
    return exit_class(next((s.exit_code for s in status.services if s.name == status.first_failed), None))


def _needs_listener(plan: Plan) -> bool:
    return any(spec.inherits_listener for spec in plan.processes)


def _bind(plan: Plan) -> socket.socket:
    try:
        return listener.bind(plan.host, plan.port)
    except PortBusy:
        for other in running():
            if other.record.port == plan.port:
                raise PortBusy(
                    f"port {plan.port} is in use by deployment {other.name}; `dynamo down {other.name}` stops it, "
                    "--set frontend.port=0 takes a free port"
                ) from None
        raise


def _new_record(plan: Plan, bound: socket.socket | None, detached: bool) -> Record:
    return Record(
        deployment=plan.deployment,
        deployment_id=secrets.token_hex(8),
        supervisor=identify(os.getpid()) or ProcessId(os.getpid(), 0),
        detached=detached,
        topology=plan.source,
        url=listener.url(bound, plan.tls) if bound else "",
        port=bound.getsockname()[1] if bound else 0,
        started=time.time(),
    )


def _already_running(name: str) -> str:
    deployment = open_deployment(name)
    if deployment is None or not deployment.record.supervised:
        return f"deployment {name} is being started by another `dynamo up`"
    return _running_words(deployment)


def _running_words(deployment: Deployment) -> str:
    where = f"pid {deployment.record.supervisor.pid}"
    if deployment.record.url:
        where += f", {deployment.record.url}"
    verbs = f"`dynamo attach {deployment.name}` shows it, `dynamo down {deployment.name}` stops it"
    return f"deployment {deployment.name} is already running ({where}); {verbs}"

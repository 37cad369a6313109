"""What an `up` takes before anything starts: the deployment's name, its port, and its files on disk."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from typing import NamedTuple

from dynamo_cli.errors import PortBusy, ResourceMissing, UsageError
from dynamo_cli.logs.files import set_aside
from dynamo_cli.logs.keeping import rotation
from dynamo_cli.runtime.http import listener
from dynamo_cli.runtime.logs import log_settings
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.assignment import Assignment
from dynamo_cli.supervisor.deployments import Deployment, open_deployment, running
from dynamo_cli.supervisor.leftovers import end_leftovers
from dynamo_cli.supervisor.processes import ProcessId, identify
from dynamo_cli.supervisor.record import Record, read_record, remove_drafts, take_lock, write
from dynamo_cli.topology.process import Plan

LOCK_PATIENCE_S = 0.2
"""Who only looks whether the name is taken holds its lock for a moment."""
ELSEWHERE = "--set frontend.port=0 takes a free port"


class Claim(NamedTuple):
    """A deployment's name and port, ours until the descriptors are closed."""

    assignment: Assignment
    lock: int

    def release(self) -> None:
        os.close(self.lock)
        if self.assignment.listener:
            self.assignment.listener.close()

    def withdraw(self) -> None:
        """It was interrupted before anything of it was started, a supervisor that would write its end down, too."""
        paths, record = self.assignment.paths, read_record(self.assignment.paths)
        if record and record == self.assignment.record and not record.processes:
            paths.tidy(all_ended=True)
            record.state = "STOPPED"
            with contextlib.suppress(ResourceMissing):
                write(paths.state, record)


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
        _begin_logs(paths)
        held = Claim(Assignment(plan, paths, _new_record(plan, bound, detached), bound), lock)
    except BaseException:
        paths.tidy()
        os.close(lock)
        raise
    try:
        write(paths.plan, plan)
        write(paths.state, held.assignment.record)
    except BaseException:
        held.withdraw()
        paths.tidy()
        held.release()
        raise
    return held


def _needs_listener(plan: Plan) -> bool:
    return any(spec.inherits_listener for spec in plan.processes)


def _bind(plan: Plan) -> socket.socket:
    try:
        return listener.bind(plan.host, plan.port)
    except PortBusy as error:
        for other in running():
            if other.record.port == plan.port:
                raise PortBusy(
                    f"port {plan.port} is in use by deployment {other.name}; `dynamo down {other.name}` stops it, "
                    f"{ELSEWHERE}"
                ) from None
        raise PortBusy(f"{error}; {ELSEWHERE}") from None


def _begin_logs(paths: DeploymentPaths) -> None:
    """ResourceMissing when the disk refuses, or something else is in the place of our files."""
    try:
        set_aside(paths)
    except OSError as error:
        raise ResourceMissing(f"cannot write {error.filename}: {error.strerror}") from None


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

"""Which deployments of this user there are, and which one a command means."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dynamo_cli.errors import DynamoError, NotReady, UsageError
from dynamo_cli.runtime.control import ControlClient, DeploymentState, DeploymentStatus, ServiceStatus
from dynamo_cli.runtime.paths import DeploymentPaths, dynamo_home, is_deployment_name
from dynamo_cli.supervisor.adoption import obstacle
from dynamo_cli.supervisor.health import pending
from dynamo_cli.supervisor.processes import Entry, alive, find
from dynamo_cli.supervisor.record import Record, is_locked, read_plan, read_record
from dynamo_cli.supervisor.recovery import control_socket, recovered
from dynamo_cli.supervisor.sweep import marks

NONE_RUNNING = "no deployment is running; start one with `dynamo up FILE`"


class Deployment(NamedTuple):
    paths: DeploymentPaths
    record: Record

    @property
    def name(self) -> str:
        return self.record.deployment

    @property
    def client(self) -> ControlClient:
        """Through the directory its supervisor made, which another XDG_RUNTIME_DIR than ours may hold."""
        return ControlClient(control_socket(self.paths))

    def leftovers(self) -> list[Entry]:
        """What still runs of it although its supervisor is gone."""
        if not self.record.this_boot or self.record.supervised:
            return []
        return find(list(self.record.processes.values()), marks(self.record.deployment_id))

    @property
    def running(self) -> bool:
        return self.record.supervised or (self.record.state != "STOPPED" and bool(self.leftovers()))


def known(home: Path | None = None) -> list[Deployment]:
    """Every deployment that was ever started, the latest first. What somebody copied to another name is none."""
    home = home or dynamo_home()
    found = []
    for state in home.glob("*/state.json"):
        name = state.parent.name
        deployment = open_deployment(name, home) if is_deployment_name(name) else None
        if deployment and deployment.name == name:
            found.append(deployment)
    return sorted(found, key=lambda d: -d.record.started)


def open_deployment(name: str, home: Path | None = None) -> Deployment | None:
    """The deployment of that name, None when it was never started."""
    paths = DeploymentPaths(name, home)
    record = read_record(paths) or recovered(paths)
    return Deployment(paths, record) if record else None


def running(home: Path | None = None) -> list[Deployment]:
    return [d for d in known(home) if d.running]


def select(name: str | None) -> Deployment:
    """The deployment a command means: the named one, else the only running one. NotReady when there is none."""
    if name:
        found = open_deployment(name)
        if found is None or not (found.running or found.record.state != "STOPPED"):
            raise NotReady(f"deployment {name} is not running")
        return found
    candidates = running()
    if not candidates:
        raise NotReady(NONE_RUNNING)
    if len(candidates) > 1:
        names = ", ".join(sorted(d.name for d in candidates))
        raise UsageError(f"several deployments are running, name one of: {names}")
    return candidates[0]


def status_of(deployment: Deployment) -> DeploymentStatus:
    """What its supervisor says; when that is dead, what is left of it. NotReady when it has ended in good order."""
    if deployment.record.supervised:
        try:
            return deployment.client.status()
        except NotReady as error:
            record = read_record(deployment.paths)
            if record is None or record.state == "STOPPED":
                raise NotReady(f"deployment {deployment.name} is not running") from None
            if record.state == "STARTING":
                return _starting(deployment)
            return _unsupervised(deployment, f"the supervisor does not answer: {error}")
        except DynamoError as error:
            return _unsupervised(deployment, f"the supervisor does not answer: {error}")
    if deployment.record.state != "STOPPED" and is_locked(deployment.paths):
        return _starting(deployment)
    return _unsupervised(deployment, _obituary(deployment))


def _obituary(deployment: Deployment) -> str:
    left = len(deployment.leftovers())
    pid, name = deployment.record.supervisor.pid, deployment.name
    if left:
        noun, them = ("process is", "it") if left == 1 else ("processes are", "them")
        why_not = obstacle(deployment.record, read_plan(deployment.paths), left)
        help_ = f"{why_not}; " if why_not else f"`dynamo status {name}` gives {them} another one, "
        return f"supervisor died (pid {pid}); {left} {noun} left, {help_}`dynamo down {name}` ends {them}"
    return f"supervisor died (pid {pid}); nothing is left of it"


def _starting(deployment: Deployment) -> DeploymentStatus:
    """Its supervisor has written down that it is there, and does not listen yet."""
    plan = read_plan(deployment.paths)
    services = [pending(spec) for spec in plan.processes] if plan else []
    return _status(deployment, "STARTING", "the supervisor starts", services)


def _unsupervised(deployment: Deployment, reason: str) -> DeploymentStatus:
    plan, record = read_plan(deployment.paths), deployment.record
    services = []
    for spec in plan.processes if plan else ():
        process = record.processes.get(spec.name)
        lives = process is not None and record.this_boot and alive(process)
        service = pending(spec)
        service.pid = process.pid if process and lives else None
        service.state, service.reason = "FAILED", "runs unsupervised" if lives else "ended"
        services.append(service)
    planned = {service.name for service in services}
    for name, process in record.processes.items():
        if name not in planned and record.this_boot and alive(process):
            services.append(
                ServiceStatus(name=name, kind="", pid=process.pid, state="FAILED", reason="runs, but no plan has it")
            )
    return _status(deployment, "FAILED", reason, services)


def _status(
    deployment: Deployment, state: DeploymentState, reason: str, services: list[ServiceStatus]
) -> DeploymentStatus:
    plan, record = read_plan(deployment.paths), deployment.record
    return DeploymentStatus(
        deployment=deployment.name,
        state=state,
        reason=reason,
        url=record.url,
        models=list(plan.models) if plan else [],
        detached=record.detached,
        topology=record.topology,
        services=services,
    )

"""The control socket: what the supervisor says of its deployment, and the client of that socket."""

from __future__ import annotations

from typing import Literal

import msgspec

ServiceState = Literal["PENDING", "STARTING", "READY", "DRAINING", "BACKOFF", "FAILED", "STOPPED"]
DeploymentState = Literal["STARTING", "READY", "DEGRADED", "FAILED", "STOPPING", "STOPPED"]


class ServiceStatus(msgspec.Struct, kw_only=True):
    """`reason` says why the service is in its state, in one line; `last_exit` how its last process ended."""

    name: str
    kind: str
    role: str | None = None
    pool: str = ""
    replica: int = 0
    engine: str = ""
    model: str = ""
    pid: int | None = None
    state: ServiceState = "PENDING"
    reason: str = ""
    ready: bool = False
    restarts: int = 0
    uptime_s: float = 0.0
    last_exit: str = ""
    ports: dict[str, int] = {}
    gpus: list[str] = []


class DeploymentStatus(msgspec.Struct, kw_only=True):
    deployment: str
    state: DeploymentState
    reason: str = ""
    url: str = ""
    models: list[str] = []
    supervisor_pid: int = 0
    detached: bool = False
    uptime_s: float = 0.0
    topology: str = ""
    services: list[ServiceStatus] = []


class Event(msgspec.Struct, kw_only=True):
    """One line of the event stream. `time` is seconds since the epoch. `service` is empty for the deployment's own."""

    time: float
    service: str = ""
    state: str = ""
    message: str = ""

"""The control socket: what the supervisor says of its deployment, and the client of that socket."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import msgspec

from dynamo_cli.errors import DynamoError, NotReady, UsageError
from dynamo_cli.protocol.detail import ServiceDetail
from dynamo_cli.protocol.explained import Remembered
from dynamo_cli.protocol.measures import GpuMeasures, ProcessUse, Traffic, WorkerMeasures
from dynamo_cli.protocol.routing_view import RoutingStatus

ServiceState = Literal[
    "PENDING", "STARTING", "LOADING", "READY", "DEGRADED", "DRAINING", "BACKOFF", "FAILED", "STOPPED"
]
ServiceAction = Literal["start", "stop", "restart"]
DeploymentState = Literal["STARTING", "READY", "DEGRADED", "FAILED", "STOPPING", "STOPPED"]


class Progress(msgspec.Struct, frozen=True):
    """How much of a phase is done. `done` of `total` pieces, both 0 when the engine tells a share only."""

    percent: float
    done: int = 0
    total: int = 0


class ServiceStatus(msgspec.Struct, kw_only=True):
    """`reason` says why the service is in its state, in one line; `last_exit` how its last process ended.

    `exit_code` is that of the last process, negative for a signal. `since`: when it entered its state, seconds since
    the epoch. `memory`: bytes its process and descendants hold, where that is watched. `done`: it ended by itself as it
    may and is not started again. `by_hand`: somebody stopped it. `replaces`: the service that this one is to take over
    from, until it has. `leaving`: it ends for good.

    `phase`: what a process that is not ready yet is doing, for `phase_s` seconds; `phases`: seconds that each phase of
    its start has taken. `hint`: what happened at its last failure and what helps; `evidence`: the directory that tells
    of it. `use` and, of a worker, `serving`: what was measured last, None before anything was.
    """

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
    since: float = 0.0
    ready: bool = False
    restarts: int = 0
    uptime_s: float = 0.0
    last_exit: str = ""
    exit_code: int | None = None
    ports: dict[str, int] = {}
    gpus: list[str] = []
    memory: int = 0
    done: bool = False
    by_hand: bool = False
    phase: str = ""
    phase_s: float = 0.0
    progress: Progress | None = None
    phases: dict[str, float] = {}
    hint: str = ""
    evidence: str = ""
    replaces: str = ""
    leaving: bool = False
    use: ProcessUse | None = None
    serving: WorkerMeasures | None = None


class Change(msgspec.Struct, kw_only=True):
    """An order that takes a while: its services are replaced one after another. `replaced`: new names by old ones.

    `failed`: why it went no further, once it is `done`; "" when all is as it was ordered.
    """

    id: int
    what: str
    pools: list[str] = []
    replaced: dict[str, str] = {}
    lines: list[str] = []
    done: bool = False
    failed: str = ""


class Access(msgspec.Struct, frozen=True):
    """What clients of the public port need: one of the `api_keys`, a `client_certificate` of their own."""

    api_keys: bool = False
    client_certificate: bool = False


ModelKind = Literal["chat", "completions", "embeddings"]


class DeploymentStatus(msgspec.Struct, kw_only=True):
    """`first_failed`: the service whose process was the first to end by itself.

    `notes`: what is wrong beyond the states of services, each with what helps. `changes`: the latest orders, the last
    one last. `kinds`: how each model is asked, known once it has answered.
    """

    deployment: str
    state: DeploymentState
    reason: str = ""
    url: str = ""
    models: list[str] = []
    kinds: dict[str, ModelKind] = {}
    access: Access = Access()
    supervisor_pid: int = 0
    detached: bool = False
    uptime_s: float = 0.0
    topology: str = ""
    first_failed: str = ""
    services: list[ServiceStatus] = []
    notes: list[str] = []
    changes: list[Change] = []
    traffic: Traffic | None = None
    measured_gpus: list[GpuMeasures] = []


class RememberedRequests(msgspec.Struct):
    """What each frontend remembers of the requests asked for; `problems`: those that did not answer, and why."""

    frontends: dict[str, Remembered] = {}
    problems: dict[str, str] = {}


class Event(msgspec.Struct, kw_only=True):
    """One line of the event stream. `time` is seconds since the epoch. `service` is empty for the deployment's own."""

    time: float
    service: str = ""
    state: str = ""
    message: str = ""


class StopRequest(msgspec.Struct):
    """`force`: without patience."""

    force: bool = False


class ActionRequest(msgspec.Struct):
    """`names`: services or pools. `rolling`, of a restart: each process is replaced by one that starts beside it.

    `surge`: how many of a pool at a time.
    """

    action: ServiceAction
    names: list[str]
    rolling: bool = False
    surge: int = 1


class ScaleRequest(msgspec.Struct):
    """`replicas` by pool."""

    replicas: dict[str, int]


class ApplyRequest(msgspec.Struct):
    """`plan`: what is to run, as JSON (topology/process.py). `base`: the digest of the plan that it was made for."""

    plan: msgspec.Raw
    base: str
    surge: int = 1


class Begun(msgspec.Struct):
    """`change`: the id of the Change in the status, 0 when there is nothing to wait for."""

    change: int = 0


class ControlClient:
    """Speaks to a supervisor. NotReady when nobody answers on the socket."""

    def __init__(self, socket: Path, timeout_s: float = 10.0) -> None:
        self._socket = socket
        self._timeout_s = timeout_s

    def status(self) -> DeploymentStatus:
        return msgspec.json.decode(self._call("GET", "/status"), type=DeploymentStatus)

    def detail(self, name: str) -> ServiceDetail:
        """How a service is started, and what its probes found. UsageError for one that is not there."""
        return msgspec.json.decode(self._call("GET", f"/services/{quote(name, safe='')}"), type=ServiceDetail)

    def stop(self, force: bool = False) -> None:
        """Ask for an ordered stop, or for one without patience; returns at once."""
        self._call("POST", "/stop", msgspec.json.encode(StopRequest(force)))

    def detach(self) -> None:
        """Let it go on without the `up` that shows it, as if it had been started with -d.

        UsageError when it cannot: it is stopping, or runs within its `up`.
        """
        self._call("POST", "/detach", b"{}")

    def act(self, action: ServiceAction, names: list[str], *, rolling: bool = False, surge: int = 1) -> int:
        """Start, stop or restart services or pools; returns at once, with the id of the change if it is one.

        UsageError for a name it does not have, or while the same pools are being changed.
        """
        answer = self._call("POST", "/services", msgspec.json.encode(ActionRequest(action, names, rolling, surge)))
        return msgspec.json.decode(answer, type=Begun).change

    def apply(self, plan: bytes, base: str, surge: int = 1) -> int:
        """Change over to another plan; returns at once, with the id of the change. UsageError for what cannot be."""
        answer = self._call("POST", "/apply", msgspec.json.encode(ApplyRequest(msgspec.Raw(plan), base, surge)))
        return msgspec.json.decode(answer, type=Begun).change

    def scale(self, replicas: dict[str, int]) -> None:
        """Change the number of replicas of pools; returns at once. UsageError for what cannot be."""
        self._call("POST", "/scale", msgspec.json.encode(ScaleRequest(replicas)))

    def routing(self) -> RoutingStatus:
        """What the frontends know of the workers."""
        return msgspec.json.decode(self._call("GET", "/router"), type=RoutingStatus)

    def requests(self, request_id: str = "") -> RememberedRequests:
        """How the requests of this id, or whose ids begin so, went; without one the last ones."""
        path = f"/requests/{quote(request_id, safe='')}" if request_id else "/requests"
        return msgspec.json.decode(self._call("GET", path), type=RememberedRequests)

    def events(self) -> Iterator[Event]:
        """What happens from now on, until the supervisor ends."""
        with self._answer("GET", "/events", None) as answer:
            while line := answer.readline():
                yield msgspec.json.decode(line, type=Event)

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        with self._answer(method, path, self._timeout_s, body) as answer:
            content: bytes = answer.read()
        return content

    @contextmanager
    def _answer(
        self, method: str, path: str, timeout_s: float | None, body: bytes | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _UnixConnection(self._socket, timeout_s)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            if answer.status != 200:
                if answer.status == 400:
                    raise UsageError(error_words(answer.read()))
                raise DynamoError(f"the supervisor refused {path}: {error_words(answer.read())}")
            yield answer
        except (OSError, http.client.HTTPException) as error:
            raise NotReady(f"no supervisor answers on {self._socket}: {error or type(error).__name__}") from None
        finally:
            connection.close()


def error_words(body: bytes) -> str:
    """The message of an error envelope, else the body itself."""
    try:
        return str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return body.decode(errors="replace").strip()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("supervisor")
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(str(self._path))

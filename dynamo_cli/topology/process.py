"""The plan as a value: what `dynamo plan` prints and `dynamo up` runs."""

from __future__ import annotations

from typing import Literal

import msgspec

from dynamo_cli.estimate.result import MemoryEstimate
from dynamo_cli.protocol.instance import Role

ServiceKind = Literal["frontend", "router", "worker", "service"]
RestartMode = Literal["no", "on-failure", "always"]
READY_TIMEOUT_S = 600.0
"""How long a start may take where nobody knows better."""


class RestartPolicy(msgspec.Struct, frozen=True):
    """Exponential backoff from `backoff_s` to `backoff_max_s`; after `max_restarts` within `window_s` it gives up.

    `jitter`: each delay is longer or shorter by up to this share of itself, so that replicas that failed together do
    not start together. `stable_s`: a process that was READY this long has a clean record, None for `window_s`.
    `success_codes`: exit codes that are no failure. `memory_limit`: bytes the process and its
    descendants may hold, 0 for no limit; to hold more is a failure.
    """

    mode: RestartMode = "on-failure"
    max_restarts: int = 5
    window_s: float = 60.0
    backoff_s: float = 0.25
    backoff_max_s: float = 10.0
    jitter: float = 0.1
    stable_s: float | None = None
    success_codes: tuple[int, ...] = (0,)
    memory_limit: int = 0


class Probe(msgspec.Struct, frozen=True):
    """How a process shows that it is ready, and how long its start may take.

    admin: GET /health on its admin socket says "ready". endpoint: an instance of `endpoint` with this service's
    name is in discovery. started: it runs. http: GET `url` answers 2xx or 3xx. tcp: something accepts on `port`
    of this host. exec: `command` exits with 0. log: a line of its output matches the regular expression `pattern`.
    `timeout_s`: a process that is not ready by then is ended.
    """

    kind: Literal["admin", "endpoint", "started", "http", "tcp", "exec", "log"] = "admin"
    endpoint: str = ""
    url: str = ""
    port: int = 0
    command: tuple[str, ...] = ()
    pattern: str = ""
    timeout_s: float = READY_TIMEOUT_S


class Liveness(msgspec.Struct, frozen=True):
    """Once READY, a process that fails its probe `failures` times in a row, asked every `interval_s`, is ended."""

    interval_s: float = 5.0
    timeout_s: float = 5.0
    failures: int = 6


class Dependency(msgspec.Struct, frozen=True):
    """A service waits for replica `name` to be started, ready, exited with success, or to have written `pattern`."""

    name: str
    condition: Literal["started", "ready", "exited", "log"] = "ready"
    pattern: str = ""


class GpuAssignment(msgspec.Struct, frozen=True):
    """Memory in bytes, as it was when the plan was made. `profile`: of a MIG instance; "" for a whole GPU."""

    index: int
    uuid: str
    name: str = ""
    memory_total: int = 0
    memory_free: int = 0
    profile: str = ""


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One process. `name` is unique in the plan: `<pool>-<n>`, `frontend-<n>`, `router-<n>`, its twin (see twins.py) of
    a replica that was replaced, or that of a `[services.NAME]` as it is written.

    `generation`: how many changes of the running deployment came before it; workers tell it in their model cards.

    `env` is added to the supervisor's own. `inherits_listener`: the public listening socket is passed as the
    descriptor whose number replaces the argument `{listen_fd}` in argv. `foreign`: a program that is not ours: it
    may be a shell with children that are to hear signals too, and whose exit codes mean nothing to us.
    """

    name: str
    kind: ServiceKind
    pool: str
    replica: int
    role: Role | None = None
    engine: str = ""
    engine_reason: str = ""
    model: str = ""
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    cwd: str = ""
    ports: dict[str, int] = {}
    gpus: tuple[GpuAssignment, ...] = ()
    gpus_reason: str = ""
    probe: Probe = Probe()
    liveness: Liveness | None = None
    restart: RestartPolicy = RestartPolicy()
    stop_timeout_s: float = 10.0
    depends_on: tuple[Dependency, ...] = ()
    inherits_listener: bool = False
    generation: int = 0
    foreign: bool = False


class PoolMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker of a pool will hold, on each of its `gpus` or in main memory. `device`: bytes of one such GPU.

    `note`: why there is no estimate.
    """

    pool: str
    engine: str
    model: str
    place: Literal["GPU", "RAM"]
    workers: int
    gpus: int = 0
    device: int = 0
    estimate: MemoryEstimate | None = None
    note: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Ordered by start. `models`: the names that must answer before the deployment is READY. `gpu_notes`: why GPUs
    were left out of the choice, a line each. `memory` of the pools that hold a model; `main_memory`: bytes available, 0
    when not known.

    `port` 0 lets the kernel choose; with `tls` it speaks https. `source` is the topology file, `digest` tells one
    content of it from another.
    """

    deployment: str
    source: str
    digest: str = ""
    host: str
    port: int
    tls: bool = False
    models: tuple[str, ...]
    processes: tuple[ProcessSpec, ...]
    gpu_notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    memory: tuple[PoolMemory, ...] = ()
    main_memory: int = 0

"""The typed value a topology file becomes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from dynamo_cli.protocol.instance import DEFAULT_NAMESPACE, Role
from dynamo_cli.router.policies import DEFAULT_MODE
from dynamo_cli.topology.process import Dependency, Liveness, RestartPolicy
from dynamo_cli.topology.report import Places

GpuChoice = str | int | tuple[int | str, ...]
"""Of one replica: "auto", a number, a list of ids, or "mig" and "mig-PROFILE" for a MIG instance."""


class Frontend(msgspec.Struct, frozen=True, kw_only=True):
    """`port` 0 lets the kernel choose. `migration_limit` None is the frontend's own default. Paths are absolute, ""
    for none."""

    host: str = "127.0.0.1"
    port: int = 8000
    replicas: int = 1
    migration_limit: int | None = None
    tls_cert_path: str = ""
    tls_key_path: str = ""
    tls_client_ca_cert_path: str = ""
    api_keys_file: str = ""
    cors_allow_origins: tuple[str, ...] = ()
    request_trace: str = ""


class Conditional(msgspec.Struct, frozen=True, kw_only=True):
    """See disagg/conditional.py; None is its own default."""

    policy: str | None = None
    eff_isl_threshold: int | None = None
    eff_isl_ratio_threshold: float | None = None
    prefill_busy_threshold: float | None = None
    decode_busy_threshold: float | None = None
    prefill_answers_after_s: float | None = None


class Router(msgspec.Struct, frozen=True, kw_only=True):
    """The thresholds are those of protocol/load.py; None is none. What follows them is for mode kv: see
    routing/kv_options.py; None is the frontend's own default. `replicas`: router processes, in mode kv."""

    mode: str = DEFAULT_MODE
    replicas: int = 0
    active_decode_blocks_threshold: float | None = None
    active_prefill_tokens_threshold: int | None = None
    active_prefill_tokens_threshold_frac: float | None = None
    policy: str | None = None
    overlap_score_credit: float | None = None
    temperature: float | None = None
    kv_events: bool | None = None
    ttl_s: float | None = None
    max_tree_size: int | None = None
    prune_target_ratio: float | None = None
    predicted_ttl_s: float | None = None
    track_active_blocks: bool | None = None
    track_output_blocks: bool | None = None
    replica_sync: bool | None = None
    session_affinity_ttl_s: int | None = None
    session_affinity_mode: str | None = None
    enforce_disagg: bool | None = None
    conditional_disagg: Conditional | None = None


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    namespace: str = DEFAULT_NAMESPACE


class Managed(msgspec.Struct, frozen=True, kw_only=True):
    """What every process of ours and of others has. `depends_on` names pools and services.

    `liveness` None means none is asked, False that the file switched it off. `memory_limit` in bytes, 0 for none.
    `ready_timeout_s` None: as long as its engine may take, or anything else.
    """

    name: str = ""
    env: dict[str, str] = {}
    cwd: str = ""
    depends_on: tuple[Dependency, ...] = ()
    restart: RestartPolicy = RestartPolicy()
    liveness: Liveness | Literal[False] | None = None
    memory_limit: int = 0
    stop_timeout_s: float = 10.0
    ready_timeout_s: float | None = None


class Pool(Managed, frozen=True, kw_only=True):
    """Identical replicas of one worker. `gpus` is per replica; `model` "" means the topology's.

    `gpu_memory`: bytes that must be free on each of its GPUs, 0 when that is not known.
    `adapters`: paths of directories by the names that clients use.
    """

    engine: str = "auto"
    model: str = ""
    role: Role = "aggregated"
    replicas: int = 1
    gpus: GpuChoice = "auto"
    gpu_memory: int = 0
    tensor_parallel: int = 1
    args: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    adapters: dict[str, str] = {}

    @property
    def mig(self) -> str:
        """The MIG instance each replica is to have, "" for none."""
        return self.gpus if isinstance(self.gpus, str) and self.gpus != "auto" else ""


class ServiceProbe(msgspec.Struct, frozen=True, kw_only=True):
    """One of the four is given. `{port:NAME}` in a text stands for a port of the service."""

    http: str = ""
    tcp: str | int = ""
    exec: tuple[str, ...] = ()
    log: str = ""


class ServicePart(Managed, frozen=True, kw_only=True):
    """A process that knows nothing of us. `ports`: names of ports it is given."""

    command: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    probe: ServiceProbe | None = None


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """`places` knows the line of every key, for problems that only planning can see."""

    name: str = ""
    model: str = ""
    frontend: Frontend = Frontend()
    router: Router = Router()
    runtime: Runtime = Runtime()
    workers: dict[str, Pool] = {}
    services: dict[str, ServicePart] = {}
    source: str = ""
    places: Places = Places("")

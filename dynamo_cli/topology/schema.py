"""What a topology file may say, and the typed value it becomes."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Literal

import msgspec

from dynamo_cli.protocol.instance import DEFAULT_NAMESPACE
from dynamo_cli.router.policies import DEFAULT_MODE, MODES
from dynamo_cli.topology.fields import INVALID, Anything, Kind, ListOf, MapOf, OneOf, Seconds, Share, Table, Text, Whole
from dynamo_cli.topology.positions import KeyPath
from dynamo_cli.topology.process import RestartPolicy
from dynamo_cli.topology.report import Places, Report
from dynamo_cli.topology.words import found, quoted

RESTART_MODES = ("no", "on-failure", "always")
MOST_REPLICAS = 1000

GpuChoice = Literal["auto"] | int | tuple[int | str, ...]


class Frontend(msgspec.Struct, frozen=True, kw_only=True):
    """`port` 0 lets the kernel choose."""

    host: str = "127.0.0.1"
    port: int = 8000
    replicas: int = 1


class Router(msgspec.Struct, frozen=True, kw_only=True):
    mode: str = DEFAULT_MODE


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    namespace: str = DEFAULT_NAMESPACE


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """Identical replicas of one worker. `gpus` is per replica; `model` "" means the topology's."""

    name: str = ""
    engine: str = "auto"
    model: str = ""
    role: str = "aggregated"
    replicas: int = 1
    gpus: GpuChoice = "auto"
    tensor_parallel: int = 1
    args: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    env: dict[str, str] = {}
    depends_on: tuple[str, ...] = ()
    restart: RestartPolicy = RestartPolicy()
    stop_timeout_s: float = 10.0
    ready_timeout_s: float = 600.0


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """`places` knows the line of every key, for problems that only planning can see."""

    name: str = ""
    model: str = ""
    frontend: Frontend = Frontend()
    router: Router = Router()
    runtime: Runtime = Runtime()
    workers: dict[str, Pool] = {}
    source: str = ""
    places: Places = Places("")


def name_problem(name: str) -> str | None:
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", name):
        return None
    return f'must be lower-case letters, digits, "-" and "_", at most 40, found {quoted(name)}'


def _pool_problem(name: str) -> str | None:
    if name == "frontend":
        return "the name frontend is taken by the frontends; choose another pool name"
    return name_problem(name)


def _host_problem(host: str) -> str | None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", host):
            return None
        return f"must be an IP address or a host name, found {quoted(host)}"
    return None


def _namespace_problem(namespace: str) -> str | None:
    if re.fullmatch(r"[a-z0-9_-]+", namespace):
        return None
    return f'must be lower-case letters, digits, "-" and "_", found {quoted(namespace)}'


def _variable_problem(name: str) -> str | None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return "not a name of an environment variable"
    if name == "CUDA_VISIBLE_DEVICES":
        return "is set from gpus; write gpus = [0, 1] in the pool instead"
    if name.startswith(("DYNAMO_", "DYN_PORT_")) or name in _OWN_VARIABLES:
        return "is set by dynamo itself; leave it out"
    return None


_OWN_VARIABLES = ("DYN_NAMESPACE", "DYN_DISCOVERY_BACKEND", "DYN_STORE_KV", "DYN_FILE_KV", "DYN_TOKEN")


class _Gpus(Kind):
    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if value == "auto":
            return "auto"
        if isinstance(value, list):
            return self._ids(value, path, report)
        if isinstance(value, bool) or not isinstance(value, int):
            report.add(path, f'expected "auto", a whole number or a list of GPU ids, found {found(value)}')
            return INVALID
        return Whole(0, 1024).read(value, path, report)

    def _ids(self, ids: list[Any], path: KeyPath, report: Report) -> Any:
        sound = True
        for position, item in enumerate(ids):
            if isinstance(item, bool) or not isinstance(item, int | str) or item == "":
                report.add((*path, position), f"expected a GPU's index or UUID, found {found(item)}")
            elif isinstance(item, int) and item < 0:
                report.add((*path, position), f"a GPU's index is 0 or more, found {item}")
            elif item in ids[:position]:
                report.add((*path, position), f"GPU {item} is listed twice")
            else:
                continue
            sound = False
        return tuple(ids) if sound else INVALID


class _Restart(Kind):
    table = Table(
        RestartPolicy,
        {
            "mode": OneOf(RESTART_MODES, "restart mode"),
            "max_restarts": Whole(0, 1_000_000),
            "window_s": Seconds(),
            "backoff_s": Seconds(zero=True),
            "backoff_max_s": Seconds(zero=True),
            "jitter": Share(),
            "stable_s": Seconds(),
            "success_codes": ListOf(Whole(0, 255), "exit codes"),
        },
    )

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if isinstance(value, dict):
            return self.table.read(value, path, report)
        mode = self.table.fields["mode"].read(value, path, report)
        return mode if mode is INVALID else RestartPolicy(mode=mode)


FRONTEND = Table(Frontend, {"host": Text(_host_problem), "port": Whole(0, 65535), "replicas": Whole(1, MOST_REPLICAS)})
ROUTER = Table(Router, {"mode": OneOf(MODES, "router mode", later=("kv",))}, later=("replicas", "options"))
RUNTIME = Table(
    Runtime,
    {"namespace": Text(_namespace_problem)},
    later=("discovery", "request_plane", "event_plane", "namespace_prefix"),
)
POOL = Table(
    Pool,
    {
        "engine": Text(),
        "model": Text(),
        "role": OneOf(("aggregated",), "role", later=("prefill", "decode", "encode")),
        "replicas": Whole(0, MOST_REPLICAS),
        "gpus": _Gpus(),
        "tensor_parallel": Whole(1, 1024),
        "args": ListOf(Text(empty=True), "texts"),
        "options": Anything(),
        "env": MapOf(Text(empty=True), _variable_problem),
        "depends_on": ListOf(Text(), "pool names"),
        "restart": _Restart(),
        "stop_timeout_s": Seconds(),
        "ready_timeout_s": Seconds(),
    },
    later=("kv_offload", "hosts", "adapters"),
)
TOPOLOGY = Table(
    Topology,
    {
        "name": Text(name_problem),
        "model": Text(),
        "frontend": FRONTEND,
        "router": ROUTER,
        "runtime": RUNTIME,
        "workers": MapOf(POOL, _pool_problem),
    },
    later=("planner", "services", "extends", "hosts", "supervisor"),
)


def key_homes() -> dict[str, str]:
    """The full path of each key name that stands at one place only."""
    homes: dict[str, list[str]] = {}
    tables = {"": TOPOLOGY, "frontend.": FRONTEND, "router.": ROUTER, "runtime.": RUNTIME, "workers.NAME.": POOL}
    for prefix, table in tables.items():
        for key in table.fields:
            homes.setdefault(key, []).append(prefix + key)
    return {key: places[0] for key, places in homes.items() if len(places) == 1}

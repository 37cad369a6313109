"""Topology and inventory become the plan: every process with its command, environment, ports and GPUs. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from dynamo_cli.errors import DynamoError, EngineMissing, ResourceMissing, TopologyError
from dynamo_cli.estimate.shape import ModelShape
from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.topology.assign import Given, GpuAssigner
from dynamo_cli.topology.check import no_role
from dynamo_cli.topology.memory import check_gpus, check_main_memory, more_gpus, pool_memory
from dynamo_cli.topology.options import option_problems
from dynamo_cli.topology.parts import Managed, Pool, ServicePart, Topology
from dynamo_cli.topology.process import (
    READY_TIMEOUT_S,
    Dependency,
    GpuAssignment,
    Liveness,
    Plan,
    PoolMemory,
    Probe,
    ProcessSpec,
    RestartPolicy,
)
from dynamo_cli.topology.public_port import port_options
from dynamo_cli.topology.router_flags import kv_flags, router_flags
from dynamo_cli.topology.twins import place_of
from dynamo_cli.workers.engines.base import EngineSpec

LISTEN_FD = "{listen_fd}"

Choose = Callable[[int, "str | None"], "tuple[EngineSpec, str]"]


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What planning needs to know of this machine.

    `gpu_reason`: why there are no or fewer GPUs. `free_ports` yields ports nobody listens on. `specs` are the engines
    by name and `unavailable` the reason of each that cannot start here; `choose` resolves engine = "auto" from the
    GPUs a replica could have and the kind of its model. `model_kinds`: gguf or hf of each model on this disk;
    `missing_models`: the line for each that is not. `held_gpus`: the deployment that has a GPU already, by its UUID.
    `shapes`: of each model what its memory depends on, or why that is not known. `main_memory`: bytes available, 0 when
    not known. `kept`: what runs of this deployment, by the names of replicas; where it can it keeps its ports and GPUs.
    """

    gpus: tuple[Gpu, ...] = ()
    gpu_reason: str = ""
    held_gpus: Mapping[str, str] = {}
    free_ports: Iterator[int]
    python: str
    specs: Mapping[str, EngineSpec]
    choose: Choose
    unavailable: Mapping[str, str] = {}
    model_kinds: Mapping[str, str] = {}
    missing_models: Mapping[str, str] = {}
    shapes: Mapping[str, ModelShape | str] = {}
    main_memory: int = 0
    kept: Mapping[str, ProcessSpec] = {}


def make_plan(topology: Topology, inventory: Inventory) -> Plan:
    """Raises ResourceMissing, EngineMissing, or TopologyError for options the chosen engine does not have."""
    return _Planner(topology, inventory).plan()


class _Planner:
    def __init__(self, topology: Topology, inventory: Inventory) -> None:
        self.topology = topology
        self.inventory = inventory
        self.gpus = GpuAssigner(inventory.gpus, inventory.gpu_reason, topology, inventory.held_gpus, self._kept_gpus())
        self.warnings: list[str] = []
        self.engines: dict[str, tuple[EngineSpec, str]] = {}
        self.given: dict[tuple[str, int], Given] = {}

    def plan(self) -> Plan:
        self._choose_engines_and_gpus()
        groups = {"frontend": [self._frontend(replica) for replica in range(self.topology.frontend.replicas)]}
        if self.topology.router.replicas:
            groups["router"] = [self._router(replica) for replica in range(self.topology.router.replicas)]
        for name, pool in self.topology.workers.items():
            groups[name] = list(self._pool(pool))
        for name, service in self.topology.services.items():
            groups[name] = [self._service(service)]
        memory = tuple(self._memory(groups))
        processes = [self._with_dependencies(process, groups) for name in self._order() for process in groups[name]]
        return Plan(
            deployment=self.topology.name,
            source=self.topology.source,
            host=self.topology.frontend.host,
            port=self.topology.frontend.port,
            tls=bool(self.topology.frontend.tls_cert_path),
            models=tuple(dict.fromkeys(p.model for p in processes if p.model and p.kind == "worker")),
            processes=tuple(processes),
            gpu_notes=self.gpus.notes,
            warnings=tuple(dict.fromkeys([*self.warnings, *self.gpus.warnings])),
            memory=memory,
            main_memory=self.inventory.main_memory,
        )

    def _memory(self, groups: Mapping[str, list[ProcessSpec]]) -> Iterator[PoolMemory]:
        """Of each pool that holds a model, with warnings about those that will not fit."""
        found = []
        for pool in self.topology.workers.values():
            spec, _ = self.engines[pool.name]
            gpus = [gpu for process in groups[pool.name] for gpu in process.gpus]
            memory = pool_memory(pool, spec, pool.model or self.topology.model, gpus, self.inventory.shapes)
            if memory:
                self.warnings += check_gpus(memory, more_gpus(pool, spec, memory, self.inventory.shapes))
                found.append(memory)
        self.warnings += check_main_memory(found, self.inventory.main_memory)
        yield from found

    def _choose_engines_and_gpus(self) -> None:
        """All pools first: the GPUs of one bear on those of the others."""
        promised, wants = 0, []
        for pool in self.topology.workers.values():
            spec, reason = self.engines[pool.name] = self._engine(pool, promised)
            self._check_options(pool, spec, reason)
            wanted = self._wanted(pool, spec)
            wants.append((pool, wanted))
            promised += 0 if isinstance(pool.gpus, tuple) else wanted * pool.replicas
        self.given = self.gpus.give(wants)

    def _order(self) -> list[str]:
        """Frontends and routers first, then pools and services as written, each after those it depends on."""
        order, parts = ["frontend"], self._parts
        if self.topology.router.replicas:
            order.append("router")

        def visit(name: str) -> None:
            if name not in order:
                for wanted in parts[name].depends_on:
                    visit(wanted.name)
                order.append(name)

        for name in parts:
            visit(name)
        return order

    @property
    def _parts(self) -> dict[str, Managed]:
        return {**self.topology.workers, **self.topology.services}

    def _with_dependencies(self, process: ProcessSpec, groups: Mapping[str, list[ProcessSpec]]) -> ProcessSpec:
        """A pool is waited for replica by replica."""
        part = self._parts.get(process.pool)
        wanted = [
            Dependency(other.name, each.condition, each.pattern)
            for each in (part.depends_on if part else ())
            for other in groups[each.name]
        ]
        return msgspec.structs.replace(process, depends_on=tuple(wanted))

    def _frontend(self, replica: int) -> ProcessSpec:
        topology = self.topology
        command = (self.inventory.python, "-m", "dynamo_cli", "frontend", "--listen-fd", LISTEN_FD)
        limit = topology.frontend.migration_limit
        migration = () if limit is None else ("--migration-limit", str(limit))
        return ProcessSpec(
            name=f"frontend-{replica}",
            kind="frontend",
            pool="frontend",
            replica=replica,
            argv=(
                *command,
                *router_flags(topology.router),
                *migration,
                *port_options(topology.frontend),
            ),
            env=self._environment(),
            inherits_listener=True,
            liveness=Liveness(),
        )

    def _router(self, replica: int) -> ProcessSpec:
        return ProcessSpec(
            name=f"router-{replica}",
            kind="router",
            pool="router",
            replica=replica,
            argv=(self.inventory.python, "-m", "dynamo_cli", "router", *kv_flags(self.topology.router)),
            env=self._environment(),
            liveness=Liveness(),
        )

    def _pool(self, pool: Pool) -> Iterator[ProcessSpec]:
        spec, reason = self.engines[pool.name]
        options = pool.options
        model = pool.model or self.topology.model
        if spec.reads_model(options) and model in self.inventory.missing_models:
            self.warnings.append(f"pool {pool.name}: {self.inventory.missing_models[model]}")
        for replica in range(pool.replicas):
            name = f"{pool.name}-{replica}"
            gpus, gpus_reason = self.given[pool.name, replica]
            ports = self._ports(f"pool {pool.name}", spec.ports_of(pool.role), name)
            command = options.get("command")
            served = _served(model, spec, options)
            yield ProcessSpec(
                name=name,
                kind="worker",
                pool=pool.name,
                replica=replica,
                role=pool.role,
                engine=spec.name,
                engine_reason=reason,
                model=served,
                argv=self._command(command, pool) if command else self._worker(pool, spec, model, served, options),
                env=self._environment(gpus, ports) | _drain(pool) | pool.env,
                cwd=pool.cwd,
                ports=ports,
                gpus=tuple(_assignment(gpu) for gpu in gpus),
                gpus_reason=gpus_reason,
                foreign=bool(command),
                probe=_probe(pool, spec, options),
                liveness=_liveness(pool, None if command else Liveness()),
                restart=_restart(pool),
                stop_timeout_s=pool.stop_timeout_s,
            )

    def _service(self, service: ServicePart) -> ProcessSpec:
        ports = self._ports(f"service {service.name}", service.ports, service.name)

        def filled(text: str) -> str:
            text = re.sub(r"\{port:([^}]*)\}", lambda found: str(ports[found[1]]), text)
            return self._with_python(text)

        return ProcessSpec(
            name=service.name,
            kind="service",
            pool=service.name,
            replica=0,
            foreign=True,
            argv=tuple(map(filled, service.command)),
            env=self._environment(ports=ports) | {name: filled(value) for name, value in service.env.items()},
            cwd=service.cwd,
            ports=ports,
            probe=service_probe(service, filled, ports),
            liveness=_liveness(service, None),
            restart=_restart(service),
            stop_timeout_s=service.stop_timeout_s,
        )

    def _engine(self, pool: Pool, promised: int) -> tuple[EngineSpec, str]:
        """The engine and why it is this one; raises EngineMissing when it cannot start here.

        `promised`: the GPUs that pools before this one get.
        """
        if pool.engine != "auto":
            spec, reason = self.inventory.specs[pool.engine], "set in the topology"
        else:
            try:
                model = pool.model or self.topology.model
                spec, reason = self.inventory.choose(
                    self._offered(pool, promised), self.inventory.model_kinds.get(model)
                )
            except DynamoError as error:
                raise type(error)(f"pool {pool.name}: {error}") from None
        missing = self.inventory.unavailable.get(spec.name)
        if missing:
            raise EngineMissing(f"pool {pool.name}: {missing}")
        return spec, reason

    def _offered(self, pool: Pool, promised: int) -> int:
        """How many GPUs one replica could have."""
        if pool.gpus != "auto":
            return _said(pool)
        return max(0, self.gpus.left() - promised) // max(pool.replicas, 1)

    def _wanted(self, pool: Pool, spec: EngineSpec) -> int:
        return spec.gpus * pool.tensor_parallel if pool.gpus == "auto" else _said(pool)

    def _check_options(self, pool: Pool, spec: EngineSpec, reason: str) -> None:
        """For engine = "auto" they can be checked only here."""
        problems = option_problems(pool.options, spec.options_type)
        lines = []
        if pool.role != "aggregated" and not spec.disaggregation:
            _, prefix = self.topology.places.locate(("workers", pool.name, "role"))
            lines.append(f'{prefix}{no_role(spec)} (engine = "{pool.engine}" is {spec.name}: {reason})')
        if problems or lines:
            for key, what in problems:
                _, prefix = self.topology.places.locate(("workers", pool.name, "options", *key))
                lines.append(f'{prefix}{what} (engine = "{pool.engine}" is {spec.name}: {reason})')
            raise TopologyError(lines)

    def _worker(
        self, pool: Pool, spec: EngineSpec, model: str, served: str, options: dict[str, Any]
    ) -> tuple[str, ...]:
        argv = [self.inventory.python, "-m", "dynamo_cli", "worker", "--engine", spec.name]
        if spec.reads_model(options) and model:
            argv += ["--model-path", model]
        argv += ["--model-name", served]
        if pool.role != "aggregated":
            argv += ["--disaggregation-mode", pool.role]
        if options:
            argv += ["--options", msgspec.json.encode(options).decode()]
        if pool.tensor_parallel > 1:
            argv += ["--tensor-parallel-size", str(pool.tensor_parallel)]
        for name, path in pool.adapters.items():
            argv += ["--adapter", f"{name}={path}"]
        return (*argv, "--", *pool.args) if pool.args else tuple(argv)

    def _command(self, command: Iterable[str], pool: Pool) -> tuple[str, ...]:
        return (*map(self._with_python, command), *pool.args)

    def _with_python(self, text: str) -> str:
        """`{python}` is the interpreter that runs dynamo, and so has its packages."""
        return text.replace("{python}", self.inventory.python)

    def _kept_gpus(self) -> dict[str, tuple[str, ...]]:
        """UUIDs by the names of replicas that go on."""
        pools = self.topology.workers
        kept = (spec for spec in self.inventory.kept.values() if spec.pool in pools)
        return {
            place_of(spec.name): tuple(gpu.uuid for gpu in spec.gpus)
            for spec in kept
            if spec.gpus and spec.replica < pools[spec.pool].replicas
        }

    def _ports(self, whose: str, names: Iterable[str], process: str) -> dict[str, int]:
        ports = {}
        kept, names = self.inventory.kept.get(process), tuple(names)
        if kept and tuple(kept.ports) == names:
            return kept.ports
        for name in names:
            port = next(self.inventory.free_ports, None)
            if port is None:
                raise ResourceMissing(f"{whose}: no free port for {name}")
            ports[name] = port
        return ports

    def _environment(self, gpus: Iterable[Gpu] | None = None, ports: Mapping[str, int] | None = None) -> dict[str, str]:
        environment = {"DYN_NAMESPACE": self.topology.runtime.namespace}
        if gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.uuid for gpu in gpus)
        return environment | {
            f"DYN_PORT_{name.upper().replace('-', '_')}": str(port) for name, port in (ports or {}).items()
        }


def _said(pool: Pool) -> int:
    """The GPUs of a replica as the topology says, which is not "auto"."""
    if isinstance(pool.gpus, int):
        return pool.gpus
    return 1 if pool.mig else len(pool.gpus)


def served_name(model: str) -> str:
    """The name clients use for a model: that of its file or directory when it is a path."""
    if not model.startswith("/"):
        return model
    return Path(model).name.removesuffix(".gguf")


def _served(model: str, spec: EngineSpec, options: Mapping[str, Any]) -> str:
    """The name clients use; "" for a command that nobody said the model of."""
    if options.get("model_name"):
        return str(options["model_name"])
    if model:
        return served_name(model)
    return "" if options.get("command") else spec.name


def _drain(pool: Pool) -> dict[str, str]:
    """A worker gives up draining in time to end its engine itself, before the supervisor's KILL."""
    return {"DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT": f"{pool.stop_timeout_s * 0.8:g}"}


def _restart(part: Managed) -> RestartPolicy:
    return msgspec.structs.replace(part.restart, memory_limit=part.memory_limit)


def _liveness(part: Managed, default: Liveness | None) -> Liveness | None:
    if part.liveness is None:
        return default
    return part.liveness or None


def service_probe(service: ServicePart, filled: Callable[[str], str], ports: Mapping[str, int]) -> Probe:
    """As the topology says it, with its ports; a service that says nothing is ready when it runs."""
    asked, patience = service.probe, service.ready_timeout_s or READY_TIMEOUT_S
    if asked is None:
        return Probe(kind="started", timeout_s=patience)
    if asked.http:
        base = f"http://127.0.0.1:{next(iter(ports.values()))}" if asked.http.startswith("/") else ""
        return Probe(kind="http", url=base + filled(asked.http), timeout_s=patience)
    if asked.tcp:
        return Probe(kind="tcp", port=int(filled(str(asked.tcp))), timeout_s=patience)
    if asked.exec:
        return Probe(kind="exec", command=tuple(map(filled, asked.exec)), timeout_s=patience)
    return Probe(kind="log", pattern=asked.log, timeout_s=patience)


def _probe(pool: Pool, spec: EngineSpec, options: Mapping[str, Any]) -> Probe:
    patience = pool.ready_timeout_s or spec.start_timeout_s or READY_TIMEOUT_S
    if not options.get("command"):
        return Probe(kind="admin", timeout_s=patience)
    endpoint = str(options.get("endpoint", ""))
    return Probe(kind="endpoint" if endpoint else "started", endpoint=endpoint, timeout_s=patience)


def _assignment(gpu: Gpu) -> GpuAssignment:
    return GpuAssignment(gpu.index, gpu.uuid, gpu.name, gpu.memory_total, gpu.memory_free, gpu.profile)

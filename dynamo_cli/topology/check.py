"""What only the whole topology can show: a key against another, an option against its engine."""

from __future__ import annotations

from collections.abc import Mapping

from dynamo_cli.topology.check_processes import check_processes
from dynamo_cli.topology.check_router import check_router
from dynamo_cli.topology.options import OptionProblem, option_problems
from dynamo_cli.topology.parts import Pool, Topology
from dynamo_cli.topology.positions import KeyPath
from dynamo_cli.topology.public_port import check_frontend
from dynamo_cli.topology.report import Report
from dynamo_cli.topology.system_port import SYSTEM_PORT, fixed_port
from dynamo_cli.topology.words import listed, nearest, quoted, suggestion
from dynamo_cli.workers.engines.base import EngineSpec
from dynamo_cli.workers.engines.registry import LATER

AUTO = "auto"
Specs = Mapping[str, EngineSpec]


def no_role(spec: EngineSpec) -> str:
    """Of an engine that can be neither half of a disaggregated pair."""
    return f"engine {quoted(spec.name)} cannot hand over the KV it has computed; leave role out"


def check(topology: Topology, specs: Specs, report: Report, environ: Mapping[str, str]) -> None:
    """Add every problem that is left once each value is right by itself. `environ`: what processes will inherit."""
    empty = not topology.workers and not topology.services
    if empty and not report.touches(("workers",)) and not report.touches(("services",)):
        report.add(("workers",), "no pool of workers; add a table such as [workers.decode]")
    for pool in topology.workers.values():
        _PoolCheck(pool, topology, specs, report, environ).run()
    check_processes(topology, report)
    check_frontend(topology.frontend, report)
    check_router(topology, report)


class _PoolCheck:
    def __init__(
        self, pool: Pool, topology: Topology, specs: Specs, report: Report, environ: Mapping[str, str]
    ) -> None:
        self.pool, self.topology, self.specs = pool, topology, specs
        self.path: KeyPath = ("workers", pool.name)
        self.report = report
        self.environ = environ

    def add(self, key: str, what: str) -> None:
        self.report.add((*self.path, key), what)

    def sound(self, *keys: str) -> bool:
        return not any(self.report.touches((*self.path, key)) for key in keys)

    def run(self) -> None:
        if self.sound("engine") and self.engine_known():
            self.check_options()
            self.check_model()
        if self.sound("gpus", "tensor_parallel"):
            self.check_gpus()
        if self.pool.adapters and self.pool.options.get("command"):
            self.add("adapters", "a command of your own loads its adapters itself; leave this out")
        if self.sound("role") and self.pool.role != "aggregated":
            self.check_role()
        if self.sound("env", "replicas"):
            self.check_system_port()

    def engine_known(self) -> bool:
        engine = self.pool.engine
        if engine == AUTO or engine in self.specs:
            return True
        words = [AUTO, *self.specs]
        if engine in LATER:
            self.add("engine", f"engine {quoted(engine)} is not available yet; use {listed(words)}")
        else:
            close = nearest(engine, words)
            self.add("engine", f"unknown engine {quoted(engine)}{suggestion(engine, [close] if close else words)}")
        return False

    def check_options(self) -> None:
        if not self.sound("options"):
            return
        if self.pool.engine == AUTO:
            known = sorted({key for spec in self.specs.values() for key in spec.options_type.__struct_fields__})
            unknown = [key for key in self.pool.options if key not in known]
            problems: list[OptionProblem] = [((key,), f"unknown option{suggestion(key, known)}") for key in unknown]
        else:
            problems = option_problems(self.pool.options, self.specs[self.pool.engine].options_type)
        for key, what in problems:
            self.report.add((*self.path, "options", *key), what)

    def check_model(self) -> None:
        if self.pool.model or self.topology.model or not self.sound("model") or self.report.touches(("model",)):
            return
        if self.pool.engine == AUTO or self.specs[self.pool.engine].needs_model:
            self.add("model", 'no model; write model = "ORG/NAME" at the top of the file or in this pool')

    def check_system_port(self) -> None:
        port = fixed_port(self.pool.env, self.environ)
        if not port or self.pool.replicas < 2:
            return
        what = f"the {self.pool.replicas} replicas cannot all listen on port {port}"
        if SYSTEM_PORT not in self.pool.env:
            zero = f'write env = {{ {SYSTEM_PORT} = "0" }}'
            self.add("replicas", f"{what}, the {SYSTEM_PORT} of the environment; {zero} for any free one")
        else:
            self.report.add((*self.path, "env", SYSTEM_PORT), f"{what}; write 0 for any free one")

    def check_role(self) -> None:
        """The engine must be able to be that half, and who prefills needs the other one."""
        pool, spec = self.pool, self.specs.get(self.pool.engine)
        if pool.options.get("command"):
            self.add("role", "a command of your own decides itself what it does; leave this out")
        elif spec is not None and not spec.disaggregation:
            self.add("role", no_role(spec))
        if pool.role == "prefill" and not any(self.decodes(other) for other in self.topology.workers.values()):
            self.add("role", 'prefills for nobody: no pool of this model has role = "decode"')

    def decodes(self, other: Pool) -> bool:
        default = self.topology.model
        return other.role == "decode" and (other.model or default) == (self.pool.model or default)

    def check_gpus(self) -> None:
        gpus, size = self.pool.gpus, self.pool.tensor_parallel
        count = len(gpus) if isinstance(gpus, tuple) else gpus
        if self.pool.mig and size > 1:
            self.add(
                "gpus", f"a MIG instance cannot be joined with others for tensor_parallel = {size}; use whole GPUs"
            )
        if isinstance(count, int) and 0 < count < size:
            self.add("gpus", f'{count} is too few for tensor_parallel = {size}; write gpus = {size} or gpus = "auto"')

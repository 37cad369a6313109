"""Which engines can start here and hand over by which means, and what helps those that cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from dynamo_cli.disagg.transfer.nixl_agent import INSTALL
from dynamo_cli.doctor.check import Check, Question, ok, skipped, warn
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.doctor.packages import import_check, import_failures, installed
from dynamo_cli.workers.engines.base import EngineSpec
from dynamo_cli.workers.engines.registry import LATER, SPECS

if TYPE_CHECKING:
    from dynamo_cli.gpus.health import Driver

DISTRIBUTIONS = {"trtllm": "tensorrt_llm"}
"""Of engines that are not called like their package."""
CUDA_RUNTIMES = {"nvidia-cuda-runtime-cu12": 12, "nvidia-cuda-runtime": 13}
"""The packages that CUDA engines bring along, and the least CUDA a driver must know for each."""
DRIVERS = {12: "525", 13: "580"}
"""The first release of NVIDIA's driver for each CUDA."""


class Engine(NamedTuple):
    """`missing`: why it cannot start, "" when it can. `versions`: `NAME VERSION` of what it runs on.

    `gpus` that one replica wants. `cuda`: the CUDA its packages are made for, 0 when unknown.
    """

    name: str
    summary: str
    missing: str = ""
    versions: Sequence[str] = ()
    gpus: int = 0
    cuda: int = 0


def questions(machine: Machine) -> Iterator[Question]:
    for spec in SPECS.values():
        yield Question(f"engine-{spec.name}", partial(_checks, spec, machine))
    for name in LATER:
        yield Question(f"engine-{name}", partial(_later, name))
    yield Question("transfer-nixl", lambda: nixl_check(installed("nixl")))


def engine_check(engine: Engine, driver: Driver | None = None) -> Check:
    """`driver` None: nobody asked for it."""
    name = f"engine-{engine.name}"
    if engine.missing:
        why, _, help_ = engine.missing.partition("; ")
        return warn(name, why, help_.removeprefix("run ").strip("`"))
    words = ", ".join([*engine.versions, engine.summary])
    if engine.gpus and driver is not None:
        for why, fix in _without_gpu(engine, driver):
            return warn(name, f"{words}; {why}", fix)
    return ok(name, words)


def _without_gpu(engine: Engine, driver: Driver) -> Iterator[tuple[str, str]]:
    """Why an engine that is installed gets no GPU."""
    if driver.broken:
        yield f"it needs a GPU, and {driver.reason}", "see driver above"
    elif not driver.gpus:
        yield f"it needs a GPU, and there is none: {driver.reason or 'the driver counts 0'}", "use engine llamacpp here"
    elif engine.cuda > _major(driver.cuda) > 0:
        why = f"it is made for CUDA {engine.cuda}, and the driver {driver.version} knows CUDA {driver.cuda}"
        yield why, f"install NVIDIA's driver {DRIVERS[engine.cuda]} or newer"


def _major(cuda: str) -> int:
    first = cuda.partition(".")[0]
    return int(first) if first.isdecimal() else 0


def later_check(name: str, version: str) -> Check:
    there = f", although {DISTRIBUTIONS.get(name, name)} {version} is installed" if version else ""
    return skipped(f"engine-{name}", f"has no adapter in this release{there}")


def nixl_check(version: str) -> Check:
    """`version` of the package, "" when it is not installed: nobody needs it who does not ask for it."""
    if not version:
        return skipped("transfer-nixl", f"is not installed; KV moves between workers over TCP. To have it: {INSTALL}")
    return ok("transfer-nixl", f'nixl {version}, for workers with the option transfer = "nixl"')


def _checks(spec: EngineSpec, machine: Machine) -> Iterator[Check]:
    engine = read_engine(spec)
    yield engine_check(engine, machine.driver if engine.gpus and machine.asked.gpus else None)
    if machine.asked.thorough and spec.modules and not engine.missing:
        yield import_check(f"import-{spec.name}", spec.modules, import_failures(spec.modules))


def read_engine(spec: EngineSpec) -> Engine:
    versions = [f"{module} {installed(module)}" for module in spec.modules if installed(module)]
    missing = spec.available() or ""
    gpus = 0 if missing else spec.gpus
    return Engine(spec.name, spec.summary, missing, versions, gpus, _cuda() if gpus else 0)


def _cuda() -> int:
    return max((cuda for package, cuda in CUDA_RUNTIMES.items() if installed(package)), default=0)


def _later(name: str) -> Check:
    return later_check(name, installed(DISTRIBUTIONS.get(name, name)))

"""Which engines can start here, and what helps those that cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from dynamo_cli.doctor.check import Check, Question, ok, skipped, warn
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.doctor.packages import import_check, import_failures, installed
from dynamo_cli.workers.engines.base import EngineSpec
from dynamo_cli.workers.engines.registry import LATER, SPECS

DISTRIBUTIONS = {"trtllm": "tensorrt_llm"}
"""Of engines that are not called like their package."""


class Engine(NamedTuple):
    """`missing`: why it cannot start, "" when it can. `versions`: `NAME VERSION` of what it runs on."""

    name: str
    summary: str
    missing: str = ""
    versions: Sequence[str] = ()


def questions(machine: Machine) -> Iterator[Question]:
    for spec in SPECS.values():
        yield Question(f"engine-{spec.name}", partial(_checks, spec, machine.asked.thorough))
    for name in LATER:
        yield Question(f"engine-{name}", partial(_later, name))


def engine_check(engine: Engine) -> Check:
    name = f"engine-{engine.name}"
    if engine.missing:
        why, _, help_ = engine.missing.partition("; ")
        return warn(name, why, help_.removeprefix("run ").strip("`"))
    return ok(name, ", ".join([*engine.versions, engine.summary]))


def later_check(name: str, version: str) -> Check:
    there = f", although {DISTRIBUTIONS.get(name, name)} {version} is installed" if version else ""
    return skipped(f"engine-{name}", f"has no adapter in this release{there}")


def _checks(spec: EngineSpec, thorough: bool) -> Iterator[Check]:
    engine = read_engine(spec)
    yield engine_check(engine)
    if thorough and spec.modules and not engine.missing:
        yield import_check(f"import-{spec.name}", spec.modules, import_failures(spec.modules))


def read_engine(spec: EngineSpec) -> Engine:
    versions = [f"{module} {installed(module)}" for module in spec.modules if installed(module)]
    return Engine(spec.name, spec.summary, spec.available() or "", versions)


def _later(name: str) -> Check:
    return later_check(name, installed(DISTRIBUTIONS.get(name, name)))

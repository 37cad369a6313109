"""Whether a topology could be started here: every problem of its file, and of its plan on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dynamo_cli.doctor.check import Check, Question, counted, error, ok, warn
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.errors import DynamoError, TopologyError
from dynamo_cli.hub.catalogue import CATALOGUE
from dynamo_cli.supervisor.prepare import missing_models
from dynamo_cli.supervisor.reservation import held_by_others
from dynamo_cli.topology.inventory import gather
from dynamo_cli.topology.parts import Topology
from dynamo_cli.topology.plan import make_plan
from dynamo_cli.topology.process import Plan


def questions(machine: Machine) -> Iterator[Question]:
    topology = machine.topology
    if isinstance(topology, TopologyError):
        problems = topology.problems
        yield Question("topology-file", lambda: problems_checks(problems))
    elif topology:
        yield Question("topology-file", lambda: ok("topology-file", f"{topology.source}: no problem"))
        yield Question("plan", lambda: plan_checks(topology, read_plan_here(machine, topology)))
        yield Question("topology-models", lambda: models_checks(list(missing_models(topology))))


def problems_checks(problems: Sequence[str]) -> Iterator[Check]:
    for number, problem in enumerate(problems, 1):
        yield error(f"topology-problem-{number}", problem)


def plan_checks(topology: Topology, plan: Plan | DynamoError) -> Iterator[Check]:
    if isinstance(plan, DynamoError):
        what, help_ = split_help(str(plan))
        yield error("plan", what, help_)
        return
    gpus = {gpu.uuid for process in plan.processes for gpu in process.gpus}
    engines = dict.fromkeys(process.engine for process in plan.processes if process.engine)
    words = [counted(len(plan.processes), "process"), counted(len(gpus), "GPU"), *engines]
    yield ok("plan", f"{plan.deployment}: {', '.join(words)}")
    for number, warning in enumerate(_own_warnings(plan, topology), 1):
        yield warn(f"plan-warning-{number}", *split_help(warning))


def models_checks(missing: Sequence[tuple[str, str, str]]) -> Iterable[Check]:
    if not missing:
        return [ok("topology-models", "all are on this disk")]
    return [_model_check(number, *each) for number, each in enumerate(missing, 1)]


def _model_check(number: int, pool: str, model: str, problem: str) -> Check:
    what, help_ = split_help(problem)
    if model in CATALOGUE:
        return warn(f"topology-model-{number}", f"pool {pool}: {what}; `dynamo up` fetches it", help_)
    return error(f"topology-model-{number}", f"pool {pool}: {what}", help_)


def read_plan_here(machine: Machine, topology: Topology) -> Plan | DynamoError:
    """What `up` would run, or why it could not. Starts and fetches nothing."""
    try:
        driver = machine.driver.inventory(machine.environ)
        return make_plan(topology, gather(topology, held_by_others(topology.name), driver))
    except DynamoError as problem:
        return problem


def _own_warnings(plan: Plan, topology: Topology) -> list[str]:
    """Without those about models, which are checks of their own."""
    missing = {f"pool {pool}: {problem}" for pool, _, problem in missing_models(topology)}
    return [warning for warning in plan.warnings if warning not in missing]


def split_help(line: str) -> tuple[str, str]:
    """What is wrong, and the part of our lines that says what to do."""
    what, _, help_ = line.rpartition("; ")
    return (what, help_.removeprefix("run ").strip("`")) if what else (line, "")

"""How long a person who starts something waits for it when nothing else was said."""

from __future__ import annotations

from collections.abc import Iterable

from dynamo_cli.supervisor.deployments import Deployment
from dynamo_cli.supervisor.record import read_plan
from dynamo_cli.topology.process import ProcessSpec
from dynamo_cli.workers.engines.registry import SPECS

USUAL_S = 120.0


def patience_of(processes: Iterable[ProcessSpec]) -> float:
    """Seconds: the usual ones, or those that the slowest of the engines may take by its own word."""
    slow = [process.probe.timeout_s for process in processes if _is_slow(process)]
    return max([USUAL_S, *slow])


def patience_with(deployment: Deployment, given_s: float | None) -> float:
    """`given_s` if there is such a word, else as long as the processes of its plan may take."""
    plan = read_plan(deployment.paths) if given_s is None else None
    return given_s if given_s is not None else patience_of(plan.processes if plan else ())


def _is_slow(process: ProcessSpec) -> bool:
    return process.engine in SPECS and SPECS[process.engine].start_timeout_s > USUAL_S

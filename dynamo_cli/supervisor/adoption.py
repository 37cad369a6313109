"""What a new supervisor takes over from one that died: which service goes on with what, and what has to go. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec

from dynamo_cli.runtime.control import DeploymentState
from dynamo_cli.supervisor.processes import ProcessId
from dynamo_cli.supervisor.record import Past, Record
from dynamo_cli.topology.process import Plan, ProcessSpec
from dynamo_cli.topology.twins import place_of


class Resumed(NamedTuple):
    """`process`: its incarnation, which may have ended since it was last watched; None for a service at rest."""

    past: Past
    process: ProcessId | None = None


class Adoption(NamedTuple):
    """`services` that were started before; the others of the plan begin. `strays`: living processes of no service.

    `was_ready`: the deployment had served.
    """

    services: dict[str, Resumed]
    strays: tuple[ProcessId, ...] = ()
    was_ready: bool = False


def with_one_for_each_place(plan: Plan, record: Record, living: Collection[ProcessId]) -> Plan:
    """The plan without the half of a replacement: the next process stays if it serves already, else the one before."""

    def serves(spec: ProcessSpec) -> bool:
        return bool(record.processes.get(spec.name) in living and record.services.get(spec.name, Past()).ready)

    chosen: dict[str, ProcessSpec] = {}
    for spec in sorted(plan.processes, key=lambda spec: spec.generation):
        if place_of(spec.name) not in chosen or serves(spec):
            chosen[place_of(spec.name)] = spec
    kept = tuple(spec for spec in plan.processes if chosen[place_of(spec.name)] is spec)
    return plan if kept == plan.processes else msgspec.structs.replace(plan, processes=kept)


def decide(plan: Plan, record: Record, living: Collection[ProcessId]) -> Adoption:
    """What becomes of each process of the record. `living`: those of them that are still there.

    A living process is watched on, one that ended unwatched counts as an exit, a service that rested rests on. A
    process that the plan has no more was on its way out.
    """
    services: dict[str, Resumed] = {}
    for spec in plan.processes:
        resumed = _resumed(record.services.get(spec.name), record.processes.get(spec.name), living)
        if resumed:
            services[spec.name] = resumed
    kept = {resumed.process for resumed in services.values()}
    strays = tuple(process for process in record.processes.values() if process in living and process not in kept)
    return Adoption(services, strays, record.state in ("READY", "DEGRADED"))


def _resumed(past: Past | None, process: ProcessId | None, living: Collection[ProcessId]) -> Resumed | None:
    past = past or Past()
    if process is None:
        return Resumed(past) if past.state == "STOPPED" else None
    if process not in living and past.state in ("FAILED", "STOPPED"):
        return Resumed(past)
    return Resumed(past, process)


def obstacle(record: Record, plan: Plan | None, left: int) -> str:
    """Why no supervisor can take the deployment over, "" when one can. `left`: how many processes of it there are."""
    if not left:
        return "nothing is left of it"
    if not record.detached:
        return "it ran in the foreground"
    if record.state in ENDING:
        return "it was being stopped"
    if plan is None:
        return "its plan cannot be read"
    return ""


ENDING: tuple[DeploymentState, ...] = ("STOPPING", "STOPPED")


def base_environment(
    environments: Mapping[str, Mapping[str, str]], added: Mapping[str, Collection[str]]
) -> dict[str, str]:
    """The environment of the dead supervisor, from those of its children. `added`: the names it added, by service."""
    base: dict[str, str] = {}
    for service, variables in environments.items():
        own = added.get(service, ())
        base.update({name: value for name, value in variables.items() if name not in own})
    return base

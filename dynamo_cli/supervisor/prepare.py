"""From a topology file to the plan that `up` runs, with the models it needs on this disk."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.catalogue import CATALOGUE
from dynamo_cli.hub.resolve import resolve_model
from dynamo_cli.supervisor.gpu_orphans import gpus_without_orphans, held_for_restart
from dynamo_cli.supervisor.reservation import held_by_others
from dynamo_cli.topology.inventory import gather
from dynamo_cli.topology.load import load_topology
from dynamo_cli.topology.parts import Topology
from dynamo_cli.topology.plan import make_plan
from dynamo_cli.topology.process import Plan
from dynamo_cli.topology.subset import subset
from dynamo_cli.workers.engines.registry import SPECS

logger = logging.getLogger("dynamo.supervisor")

Fetch = Callable[[str], object]


def read_topology(file: Path, sets: Sequence[str], names: Sequence[str], dependencies: bool, fetch: Fetch) -> Topology:
    """The topology, or the named part of it, with the catalogue models it needs on this disk.

    Raises TopologyError, UsageError for an unknown name, or ModelMissing with the command that helps.
    """
    topology = load_topology(file, sets)
    if names:
        topology = subset(topology, names, with_dependencies=dependencies)
    for _, model, _ in missing_models(topology):
        if model in CATALOGUE:
            fetch(model)
    return topology


def plan_here(topology: Topology, *, share_gpus: bool = False, running: Plan | None = None) -> Plan:
    """Look at the machine and at what other deployments hold of it, and plan. Only within `reservation()`.

    Processes that deployments which are no more left on GPUs are ended. `running`: the plan that this one is to take
    the place of; what stays keeps its ports and GPUs.

    Raises ResourceMissing, EngineMissing, or ModelMissing.
    """
    held = held_by_others(topology.name)
    driver = gpus_without_orphans(logger.warning)
    holders = {holder.pid for gpu in driver.gpus for holder in gpu.holders}
    held = held._replace(ending=held_for_restart(topology.name, holders))
    held = held._replace(gpus={}) if share_gpus else held
    plan = make_plan(topology, gather(topology, held, driver, running=running))
    for pool, _, problem in missing_models(topology):
        raise ModelMissing(f"pool {pool}: {problem}")
    return msgspec.structs.replace(plan, digest=topology_digest(topology))


def topology_digest(topology: Topology) -> str:
    """Equal for topologies that say the same, whatever file, overrides and parts they are made of."""
    without_places = msgspec.json.encode(topology, enc_hook=lambda _: None, order="deterministic")
    return hashlib.sha256(without_places).hexdigest()[:16]


def missing_models(topology: Topology) -> Iterator[tuple[str, str, str]]:
    """(pool, model, the line that says which command helps) for each whose files are not on this disk."""
    for pool, model in _wanted(topology):
        problem = _problem(model)
        if problem:
            yield pool, model, problem


def _wanted(topology: Topology) -> Iterator[tuple[str, str]]:
    """(pool, model) of every pool whose engine reads a model's files."""
    for name, pool in topology.workers.items():
        model = pool.model or topology.model
        if model and (pool.engine not in SPECS or SPECS[pool.engine].reads_model(pool.options)):
            yield name, model


def _problem(model: str) -> str:
    try:
        resolve_model(model)
    except ModelMissing as error:
        return str(error)
    return ""

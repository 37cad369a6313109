"""Looks at this machine for planning: its GPUs, engines, models and free ports."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

from dynamo_cli.errors import ModelMissing
from dynamo_cli.gpus.gpu import GpuInventory
from dynamo_cli.gpus.nvml import read_gpus
from dynamo_cli.hub.resolve import resolve_model
from dynamo_cli.topology.parts import Topology
from dynamo_cli.topology.plan import Inventory
from dynamo_cli.topology.ports import free_ports
from dynamo_cli.topology.process import Plan
from dynamo_cli.topology.twins import place_of
from dynamo_cli.workers.engines import registry


class Held(NamedTuple):
    """What other deployments have: ports, and GPUs by UUID with the deployment's name."""

    ports: frozenset[int] = frozenset()
    gpus: Mapping[str, str] = {}


NOTHING_HELD = Held()


def gather(
    topology: Topology, held: Held = NOTHING_HELD, driver: GpuInventory | None = None, running: Plan | None = None
) -> Inventory:
    """What `topology` needs to know of this machine, and no more; `driver` when its GPUs are known already.

    `running`: the plan of this deployment, if it is to be changed while it runs.
    """
    driver = read_gpus() if driver is None else driver
    used = {pool.engine for pool in topology.workers.values()}
    wanted = {name: registry.SPECS[name] for name in registry.SPECS if name in used or "auto" in used}
    kinds, missing = _models(topology)
    kept = {place_of(spec.name): spec for spec in running.processes} if running else {}
    own = {port for spec in kept.values() for port in spec.ports.values()}
    return Inventory(
        gpus=driver.gpus,
        gpu_reason=driver.reason,
        held_gpus=held.gpus,
        free_ports=(port for port in free_ports() if port not in held.ports and port not in own),
        python=sys.executable,
        specs=registry.SPECS,
        choose=registry.choose,
        unavailable={name: reason for name, spec in wanted.items() if (reason := spec.available())},
        model_kinds=kinds,
        missing_models=missing,
        kept=kept,
    )


def _models(topology: Topology) -> tuple[dict[str, str], dict[str, str]]:
    kinds: dict[str, str] = {}
    missing: dict[str, str] = {}
    for model in {pool.model or topology.model for pool in topology.workers.values()} - {""}:
        kind, problem = _look_up(model)
        if problem:
            missing[model] = problem
        else:
            kinds[model] = kind
    return kinds, missing


def _look_up(model: str) -> tuple[str, str]:
    try:
        return resolve_model(model).kind, ""
    except ModelMissing as error:
        return "", str(error)

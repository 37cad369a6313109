"""Looks at this machine for planning: its GPUs, engines, models and free ports."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from dynamo_cli.errors import ModelMissing
from dynamo_cli.estimate.read import remembered_shape, shape_or_reason
from dynamo_cli.estimate.shape import ModelShape
from dynamo_cli.gpus.asking import read_gpus
from dynamo_cli.gpus.described import described_gpus
from dynamo_cli.gpus.gpu import GpuInventory
from dynamo_cli.gpus.usable import without
from dynamo_cli.hub.resolve import ModelFiles, resolve_model
from dynamo_cli.runtime.main_memory import read_memory
from dynamo_cli.topology.parts import Topology
from dynamo_cli.topology.plan import Inventory
from dynamo_cli.topology.ports import free_ports
from dynamo_cli.topology.process import Plan
from dynamo_cli.topology.twins import place_of
from dynamo_cli.workers.engines import registry


class Held(NamedTuple):
    """What other deployments have: ports, and GPUs by UUID with the deployment's name.

    `ending`: pids whose GPU memory will be free before anything is started.
    """

    ports: frozenset[int] = frozenset()
    gpus: Mapping[str, str] = {}
    ending: frozenset[int] = frozenset()


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
    models = _models(topology)
    kept = {place_of(spec.name): spec for spec in running.processes} if running else {}
    own = {port for spec in kept.values() for port in spec.ports.values()}
    return Inventory(
        gpus=tuple(without(gpu, held.ending) for gpu in driver.gpus),
        gpu_reason=driver.reason,
        held_gpus=held.gpus,
        free_ports=(port for port in free_ports() if port not in held.ports and port not in own),
        python=sys.executable,
        specs=registry.SPECS,
        choose=registry.choose,
        unavailable={name: reason for name, spec in wanted.items() if (reason := spec.available())},
        model_kinds={name: files.kind for name, files in models.found.items()},
        missing_models=models.missing,
        shapes=models.shapes,
        main_memory=0 if running else read_memory().usable,  # of which it holds a part itself
        kept=kept,
    )


def gather_described(topology: Topology, words: str) -> Inventory:
    """The same for a machine with the GPUs that `words` describe; engines and models are supposed to be there.

    UsageError for what describes none.
    """
    here = gather(topology, driver=described_gpus(words))
    return msgspec.structs.replace(here, unavailable={}, missing_models={}, main_memory=0)


class _Models(NamedTuple):
    """By name: files on this disk, the line for each that has none, and what its memory depends on or why not."""

    found: dict[str, ModelFiles]
    missing: dict[str, str]
    shapes: dict[str, ModelShape | str]

    def look_up(self, model: str) -> None:
        try:
            self.found[model] = files = resolve_model(model)
        except ModelMissing as error:
            self.missing[model] = str(error)
            self.shapes[model] = remembered_shape(model) or str(error)
        else:
            self.shapes[model] = shape_or_reason(files)


def _models(topology: Topology) -> _Models:
    models = _Models({}, {}, {})
    for model in {pool.model or topology.model for pool in topology.workers.values()} - {""}:
        models.look_up(model)
    return models

"""Machines made up for planning."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from dynamo_cli.errors import EngineMissing
from dynamo_cli.gpus.gpu import Gpu, Holder
from dynamo_cli.topology.load import load_topology
from dynamo_cli.topology.plan import Inventory, make_plan
from dynamo_cli.topology.process import Plan
from dynamo_cli.workers.engines.base import EngineLaunch, EngineOptions, EngineSpec
from dynamo_cli.workers.engines.registry import SPECS

GIB = 2**30


class HungryOptions(EngineOptions, frozen=True, kw_only=True):
    depth: int = 1


class HungrySpec(EngineSpec):
    """An engine that wants a GPU and two ports."""

    name = "hungry"
    summary = "for tests"
    options_type = HungryOptions
    gpus = 1
    ports = ("http", "kv-events")

    def available(self) -> str | None:
        return None

    def create(self, launch: EngineLaunch) -> Any:
        raise NotImplementedError


ENGINES: dict[str, EngineSpec] = {**SPECS, "hungry": HungrySpec()}


def choose(gpus: int, model_kind: str | None) -> tuple[EngineSpec, str]:
    """hungry with a GPU, mock for a GGUF model without, else nothing."""
    if gpus:
        return ENGINES["hungry"], f"{gpus} here"
    if model_kind == "gguf":
        return ENGINES["mock"], "no GPU here"
    raise EngineMissing("nothing fits")


def gpu(index: int, free_gib: int = 80, pids: tuple[int, ...] = ()) -> Gpu:
    """One of 80 GiB; each of `pids` is a python that holds a GiB of it."""
    return Gpu(
        index=index,
        uuid=f"GPU-{'abcdefgh'[index]}",
        name="Fake",
        memory_total=80 * GIB,
        memory_free=free_gib * GIB,
        holders=tuple(Holder(pid, GIB, "python") for pid in pids),
    )


def machine(*gpus: Gpu, **more: Any) -> Inventory:
    facts: dict[str, Any] = {"free_ports": count(40000), "python": "python3", "specs": ENGINES, "choose": choose}
    return Inventory(gpus=gpus, **facts | more)


def plan(folder: Path, text: str, inventory: Inventory, *sets: str) -> Plan:
    file = folder / "deploy.toml"
    file.write_text(text)
    return make_plan(load_topology(file, sets, specs=ENGINES), inventory)

"""The GPUs of a machine one does not sit at, from a few words such as 8xH100-80GB. Pure but for reading a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import msgspec

from dynamo_cli.errors import UsageError
from dynamo_cli.gpus.catalogue import CUBE_MESH, MODELS, Model, find_model
from dynamo_cli.gpus.gpu import Gpu, GpuInventory, Peer
from dynamo_cli.gpus.health import Driver
from dynamo_cli.gpus.usable import MIB

MOST = 64
GROUP = re.compile(r"(?:(\d+)x)?([^:]+)(?::(.+))?", re.IGNORECASE)
PART = re.compile(r"mig-([^*]+)(?:\*(\d+))?", re.IGNORECASE)


def described_gpus(words: str) -> GpuInventory:
    """Groups with commas between them, each COUNTxNAME, or NAME for one; `:mig-PROFILE*N+…` splits each into instances.

    A word that ends with .json names a file: what `python -m dynamo_cli.gpus` prints, or {"gpus": [...]} alone.

    All GPUs are idle. They are joined as in the usual machine of that GPU: half of them at each of two NUMA nodes when
    there are more than two, pairs at one PCIe switch. Raises UsageError.
    """
    if words.endswith(".json"):
        return _from_file(Path(words))
    units: list[tuple[Model, Gpu]] = []
    parts: list[Gpu] = []
    for group in words.split(","):
        for model, split in _group(group.strip(), words):
            index = len(units)
            gpu = Gpu(
                index=index,
                uuid=f"GPU-{index}",
                name=model.full_name,
                memory_total=model.memory * MIB,
                memory_free=model.memory * MIB,
                mig=bool(split),
            )
            units.append((model, gpu))
            parts += _instances(gpu, model, split, words)
    if len(units) > MOST:
        raise UsageError(f"--gpus {words}: {len(units)} GPUs, at most {MOST} are in one machine")
    return GpuInventory((*_joined(units), *parts))


def _group(group: str, words: str) -> Iterator[tuple[Model, list[str]]]:
    """A model with the profiles it is split into, for each GPU of the group."""
    read = GROUP.fullmatch(group)
    count = int(read[1] or 1) if read else 0
    if read is None or not 0 < count <= MOST:
        raise UsageError(f"--gpus {words}: expected 8xH100-80GB or a .json file, found {group or 'nothing'}")
    model = find_model(read[2])
    if model is None:
        known = ", ".join(model.name for model in MODELS)
        raise UsageError(f"--gpus {words}: unknown GPU {read[2]}; known are {known}, or describe it in a .json file")
    split = [profile for part in (read[3] or "").split("+") if part for profile in _split(part, words)]
    return iter([(model, split)] * count)


def _split(part: str, words: str) -> list[str]:
    read = PART.fullmatch(part)
    number = int(read[2] or 1) if read else 0
    if read is None or not 0 < number <= 7:
        raise UsageError(f"--gpus {words}: expected mig-1g.10gb*7, found {part}")
    return [read[1].lower()] * number


def _instances(gpu: Gpu, model: Model, split: list[str], words: str) -> Iterator[Gpu]:
    slices = 0
    for number, profile in enumerate(split):
        memory = model.mig.get(profile)
        if memory is None:
            known = ", ".join(f"mig-{name}" for name in model.mig)
            raise UsageError(f"--gpus {words}: {model.name} has no MIG profile {profile}; it has {known or 'none'}")
        slices += int(profile.partition("g")[0])
        yield Gpu(
            index=gpu.index,
            uuid=f"MIG-{gpu.index}-{number}",
            name=gpu.name,
            memory_total=memory * MIB,
            memory_free=memory * MIB,
            profile=profile,
        )
    most = max((int(name.partition("g")[0]) for name in model.mig), default=0)
    if slices > most:
        raise UsageError(f"--gpus {words}: a {model.name} has {most} MIG slices, these are {slices}")


def _joined(units: list[tuple[Model, Gpu]]) -> list[Gpu]:
    count = len(units)
    peers: dict[str, dict[str, Peer]] = {gpu.uuid: {} for _, gpu in units}
    for (model, one), (other_model, other) in combinations(units, 2):
        same_node = _node(one.index, count) == _node(other.index, count)
        path = "PXB" if one.index // 2 == other.index // 2 else "NODE" if same_node else "SYS"
        nvlink = _lanes(model, one.index, other.index) if model == other_model else 0
        peers[one.uuid][other.uuid] = peers[other.uuid][one.uuid] = msgspec.convert(
            {"nvlink": nvlink, "path": path}, Peer
        )
    return [msgspec.structs.replace(gpu, numa=_node(gpu.index, count), peers=peers[gpu.uuid]) for _, gpu in units]


def _node(index: int, count: int) -> int:
    return 0 if count <= 2 else index * 2 // count


def _lanes(model: Model, one: int, other: int) -> int:
    if model.joint == "mesh":
        return CUBE_MESH.get((one, other), 0)
    if model.joint == "bridge":
        return model.lanes if one // 2 == other // 2 else 0
    return model.lanes if model.joint == "switch" else 0


def _from_file(file: Path) -> GpuInventory:
    try:
        text = file.read_bytes()
    except OSError as error:
        raise UsageError(f"--gpus {file}: cannot be read: {error.strerror}") from None
    try:
        return msgspec.json.decode(text, type=GpuInventory)
    except msgspec.DecodeError as problem:
        try:
            told = msgspec.json.decode(text, type=Driver)
        except msgspec.DecodeError:
            raise UsageError(f"--gpus {file}: {problem}") from None
    return told.inventory({})

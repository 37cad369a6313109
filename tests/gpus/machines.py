"""Machines made up for choosing GPUs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import combinations

import msgspec

from dynamo_cli.gpus.described import described_gpus
from dynamo_cli.gpus.gpu import Gpu, Holder, Peer

GIB = 2**30
DGX = described_gpus("8xH100-80GB").gpus
CUBE = described_gpus("8xV100-32GB").gpus
PCIE = described_gpus("8xL40S").gpus
BRIDGED = described_gpus("4xA100-80GB-PCIe").gpus
SPLIT = described_gpus("2xA100-80GB:mig-3g.40gb*2+mig-1g.10gb,1xA100-80GB:mig-1g.10gb*7").gpus
MIXED = described_gpus("2xH100-80GB,1xH100-80GB:mig-1g.10gb*7").gpus


def gpu(index: int, free: int = 80, pids: Sequence[int] = (), **more: object) -> Gpu:
    """`free` GiB of 80."""
    facts = {"index": index, "uuid": f"GPU-{index}", "memory_total": 80 * GIB, "memory_free": free * GIB}
    return msgspec.convert(facts | {"holders": tuple(Holder(pid) for pid in pids)} | more, Gpu)


def joined(gpus: Sequence[Gpu], peers: Mapping[tuple[int, int], Peer]) -> list[Gpu]:
    """With peers by pairs of indexes."""
    known: dict[int, dict[str, Peer]] = {each.index: {} for each in gpus}
    for one, other in combinations(gpus, 2):
        peer = peers.get((one.index, other.index))
        if peer:
            known[one.index][other.uuid] = known[other.index][one.uuid] = peer
    return [msgspec.structs.replace(each, peers=known[each.index]) for each in gpus]


def filled(gpus: Sequence[Gpu], free: Sequence[int]) -> list[Gpu]:
    """With these shares of memory free, in tenths; whoever holds the rest is named."""
    return [
        msgspec.structs.replace(
            each,
            memory_free=each.memory_total * tenths // 10,
            holders=() if tenths == 10 else (Holder(100 + at, each.memory_total * (10 - tenths) // 10, "python"),),
        )
        for at, (each, tenths) in enumerate(zip(gpus, free, strict=True))
    ]


def shuffled(gpus: Sequence[Gpu], seed: int) -> list[Gpu]:
    return random.Random(seed).sample(list(gpus), len(gpus))

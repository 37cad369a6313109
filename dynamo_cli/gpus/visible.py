"""CUDA_VISIBLE_DEVICES of whoever started us (a person, a batch system): NVML ignores it, we do not."""

from __future__ import annotations

from collections.abc import Sequence

from dynamo_cli.gpus.gpu import Gpu, GpuInventory


def visible_gpus(gpus: Sequence[Gpu], wanted: str | None) -> GpuInventory:
    """The GPUs `wanted` names, in its order. As in CUDA, whatever follows an unknown id is not visible either."""
    if not gpus:
        return GpuInventory(reason="the NVIDIA driver finds no GPU")
    if wanted is None:
        return GpuInventory(tuple(gpus))
    visible: list[Gpu] = []
    for name in wanted.split(","):
        gpu = find_gpu(gpus, name.strip())
        if gpu is None or gpu in visible:
            break
        visible.append(gpu)
    hidden = f"CUDA_VISIBLE_DEVICES={wanted} leaves {len(visible)} of {len(gpus)}" if len(visible) < len(gpus) else ""
    return GpuInventory(tuple(visible), hidden)


def find_gpu(gpus: Sequence[Gpu], name: str) -> Gpu | None:
    """The GPU with this index, UUID, or beginning of a UUID that only one has."""
    if name.isdigit():
        return next((gpu for gpu in gpus if gpu.index == int(name)), None)
    exact = [gpu for gpu in gpus if gpu.uuid.lower() == name.lower()]
    close = exact or [gpu for gpu in gpus if name and gpu.uuid.lower().startswith(name.lower())]
    return close[0] if len(close) == 1 else None

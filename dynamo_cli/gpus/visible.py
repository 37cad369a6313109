"""CUDA_VISIBLE_DEVICES of whoever started us (a person, a batch system): NVML ignores it, we do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dynamo_cli.gpus.gpu import Gpu, GpuInventory


def visible_gpus(gpus: Sequence[Gpu], wanted: str | None) -> GpuInventory:
    """What `wanted` names, in its order. As in CUDA, whatever follows an unknown id is not visible either.

    To name a GPU in MIG mode is to name its instances.
    """
    if not gpus:
        return GpuInventory(reason="the NVIDIA driver finds no GPU")
    if wanted is None:
        return GpuInventory(tuple(gpus))
    visible: list[Gpu] = []
    for name in wanted.split(","):
        gpu = find_gpu(gpus, name.strip())
        if gpu is None or gpu in visible:
            break
        visible += [gpu, *(part for part in instances_of(gpu, gpus) if part not in visible)]
    units = [gpu for gpu in gpus if not gpu.mig]
    left, all_ = sum(gpu in units for gpu in visible), len(units)
    hidden = f"CUDA_VISIBLE_DEVICES={wanted} leaves {left} of {all_}" if left < all_ else ""
    return GpuInventory(tuple(visible), hidden)


def instances_of(gpu: Gpu, gpus: Sequence[Gpu]) -> Iterator[Gpu]:
    """The MIG instances of a GPU in MIG mode."""
    return (part for part in gpus if gpu.mig and part.profile and part.index == gpu.index)


def find_gpu(gpus: Sequence[Gpu], name: str) -> Gpu | None:
    """The GPU with this index, UUID, or beginning of a UUID that only one has; a MIG instance by its UUID."""
    if name.isdigit():
        return next((gpu for gpu in gpus if gpu.index == int(name) and not gpu.profile), None)
    exact = [gpu for gpu in gpus if gpu.uuid.lower() == name.lower()]
    close = exact or [gpu for gpu in gpus if name and gpu.uuid.lower().startswith(name.lower())]
    return close[0] if len(close) == 1 else None

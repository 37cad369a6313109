"""A GPU of this machine, as the driver tells it."""

from __future__ import annotations

import msgspec


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """Memory in bytes. `index` is NVML's, which orders by PCI bus; `processes` are the pids that hold its memory."""

    index: int
    uuid: str
    name: str = ""
    memory_total: int = 0
    memory_free: int = 0
    processes: tuple[int, ...] = ()


class GpuInventory(msgspec.Struct, frozen=True):
    """`reason` says why there is no GPU, or why fewer are told than the driver has."""

    gpus: tuple[Gpu, ...] = ()
    reason: str = ""

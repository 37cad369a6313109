"""A GPU of this machine, or a MIG instance of one, as the driver tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

PciPath = Literal["PIX", "PXB", "PHB", "NODE", "SYS", ""]
"""In the words of `nvidia-smi topo -m`: one PCIe switch, several, a host bridge, a NUMA node, between nodes; "" when
the driver does not tell."""
ComputeMode = Literal["default", "exclusive", "prohibited"]


class Holder(msgspec.Struct, frozen=True):
    """A process that holds a GPU's memory, in bytes; 0 when the driver does not tell. `name` "" cannot be seen."""

    pid: int
    memory: int = 0
    name: str = ""


class Peer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How another GPU is reached: over `nvlink` lanes (0 is none), and by which path over PCIe."""

    nvlink: int = 0
    path: PciPath = ""


class Gpu(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Memory in bytes. `index` is NVML's, which orders by PCI bus; a MIG instance has that of its GPU.

    `profile`: of a MIG instance, such as 3g.40gb, "" for a whole GPU. `mig`: a GPU in MIG mode, which nobody can use as
    a whole. `bus`: the PCI address. `peers`: by UUID.
    """

    index: int
    uuid: str
    name: str = ""
    memory_total: int = 0
    memory_free: int = 0
    holders: tuple[Holder, ...] = ()
    bus: str = ""
    numa: int | None = None
    compute_mode: ComputeMode = "default"
    mig: bool = False
    profile: str = ""
    peers: Mapping[str, Peer] = {}

    @property
    def words(self) -> str:
        return f"MIG {self.profile} of GPU {self.index}" if self.profile else f"GPU {self.index}"


class GpuInventory(msgspec.Struct, frozen=True):
    """`gpus`: whole ones and MIG instances. `reason` says why there is no GPU, or fewer than the driver has."""

    gpus: tuple[Gpu, ...] = ()
    reason: str = ""

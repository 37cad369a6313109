"""GPUs by the names people use for them: memory, and how several of them are joined in usual machines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

Joint = Literal["switch", "mesh", "bridge", "pcie"]
"""NVSwitch joins all with all; mesh is the hybrid cube mesh of eight V100; a bridge joins pairs; pcie is no NVLink."""

NO_PROFILES: Mapping[str, int] = {}


class Model(NamedTuple):
    """`memory` in MiB, as the driver tells it. `lanes` of NVLink to switches or over a bridge.

    `mig`: MiB of each MIG profile.
    """

    name: str
    full_name: str
    memory: int
    joint: Joint = "pcie"
    lanes: int = 0
    mig: Mapping[str, int] = NO_PROFILES


def _profiles(part: int, *, names: str) -> dict[str, int]:
    """MIG profiles of a GPU whose smallest part has `part` MiB; `names` of those with 1, 1, 2, 4, 4 and 8 parts."""
    return dict(zip(names.split(), (part, 2 * part, 2 * part, 4 * part, 4 * part, 8 * part), strict=True))


_A100_40 = _profiles(4864, names="1g.5gb 1g.10gb 2g.10gb 3g.20gb 4g.20gb 7g.40gb")
_80 = _profiles(9984, names="1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb")
_94 = _profiles(11904, names="1g.12gb 1g.24gb 2g.24gb 3g.47gb 4g.47gb 7g.94gb")
_141 = _profiles(16384, names="1g.18gb 1g.35gb 2g.35gb 3g.71gb 4g.71gb 7g.141gb")
_180 = _profiles(22528, names="1g.23gb 1g.45gb 2g.45gb 3g.90gb 4g.90gb 7g.180gb")

MODELS = (
    Model("B200", "NVIDIA B200", 183359, "switch", 18, _180),
    Model("H200", "NVIDIA H200", 143771, "switch", 18, _141),
    Model("H200-NVL", "NVIDIA H200 NVL", 143771, "bridge", 18, _141),
    Model("H100-80GB", "NVIDIA H100 80GB HBM3", 81559, "switch", 18, _80),
    Model("H100-80GB-PCIe", "NVIDIA H100 PCIe", 81559, "bridge", 12, _80),
    Model("H100-NVL", "NVIDIA H100 NVL", 95830, "bridge", 12, _94),
    Model("H20", "NVIDIA H20", 97871, "switch", 18),
    Model("A100-80GB", "NVIDIA A100-SXM4-80GB", 81920, "switch", 12, _80),
    Model("A100-40GB", "NVIDIA A100-SXM4-40GB", 40960, "switch", 12, _A100_40),
    Model("A100-80GB-PCIe", "NVIDIA A100 80GB PCIe", 81920, "bridge", 12, _80),
    Model("A100-40GB-PCIe", "NVIDIA A100-PCIE-40GB", 40960, "bridge", 12, _A100_40),
    Model("V100-32GB", "Tesla V100-SXM2-32GB", 32768, "mesh", 1),
    Model("V100-16GB", "Tesla V100-SXM2-16GB", 16384, "mesh", 1),
    Model("L40S", "NVIDIA L40S", 46068),
    Model("L40", "NVIDIA L40", 46068),
    Model("L4", "NVIDIA L4", 23034),
    Model("A40", "NVIDIA A40", 46068, "bridge", 4),
    Model("A30", "NVIDIA A30", 24576, "bridge", 4, {"1g.6gb": 5952, "2g.12gb": 12032, "4g.24gb": 24192}),
    Model("A10G", "NVIDIA A10G", 23028),
    Model("A10", "NVIDIA A10", 23028),
    Model("T4", "Tesla T4", 15360),
    Model("RTX-PRO-6000", "NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887),
    Model("RTX-6000-Ada", "NVIDIA RTX 6000 Ada Generation", 49140),
    Model("RTX-5090", "NVIDIA GeForce RTX 5090", 32607),
    Model("RTX-4090", "NVIDIA GeForce RTX 4090", 24564),
    Model("RTX-3090", "NVIDIA GeForce RTX 3090", 24576, "bridge", 4),
)
CUBE_MESH = {
    (0, 1): 1, (0, 2): 1, (0, 3): 2, (0, 4): 2, (1, 2): 2, (1, 3): 1, (1, 5): 2, (2, 3): 2,
    (2, 6): 1, (3, 7): 1, (4, 5): 1, (4, 6): 1, (4, 7): 2, (5, 6): 2, (5, 7): 1, (6, 7): 2,
}  # fmt: skip
"""Lanes between the eight V100 of a DGX-1."""


def find_model(name: str) -> Model | None:
    """By its name or its full one, in any case; -SXM and GB may be left away where that is clear."""
    wanted = _plain(name)
    exact = [model for model in MODELS if wanted in (_plain(model.name), _plain(model.full_name))]
    loose = exact or [model for model in MODELS if _plain(model.name).replace("gb", "") == wanted.replace("gb", "")]
    return loose[0] if len(loose) == 1 else None


def _plain(name: str) -> str:
    letters = "".join(letter for letter in name.lower() if letter.isalnum())
    return re.sub(r"sxm\d?|hbm3e?", "", letters)

"""GPUs, or MIG instances, that are alike and free. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.gpus.usable import GIB, crowding, obstacle

SHARE = 0.9
"""Of a GPU's memory, what one worker takes."""
SPARE = 0.02
"""Of a GPU that others use too, what is left beside them."""


class Units(msgspec.Struct, frozen=True, kw_only=True):
    """`memory` of each in bytes, of which a worker takes the `share`. `least`: bytes that must be free on it, where the
    machine has others that are smaller; 0 where it has not."""

    name: str
    profile: str
    count: int
    memory: int
    share: float = SHARE
    least: int = 0

    @property
    def words(self) -> str:
        return f"{self.count} x {self.name}{f' MIG {self.profile}' if self.profile else ''}"


def units_of(gpus: Sequence[Gpu]) -> list[Units]:
    """Groups of equal ones, the most memory first, whole GPUs before parts; crowded ones only where all are."""
    able = [gpu for gpu in gpus if gpu.memory_total and not obstacle(gpu)]
    whole = [gpu for gpu in able if not gpu.profile] or able
    free = [gpu for gpu in whole if not crowding(gpu)] or whole
    groups: dict[tuple[str, str, int], list[Gpu]] = {}
    for gpu in free:
        groups.setdefault((gpu.name, gpu.profile, gpu.memory_total), []).append(gpu)
    found = [_unit(members, free) for members in groups.values()]
    return sorted(found, key=lambda units: -units.count * units.memory)


def _unit(members: Sequence[Gpu], all_: Sequence[Gpu]) -> Units:
    gpu = members[0]
    share = min(each.memory_free / each.memory_total for each in members) - SPARE
    mixed = any(each.memory_total < gpu.memory_total for each in all_)
    return Units(
        name=gpu.name or "GPU",
        profile=gpu.profile,
        count=len(members),
        memory=gpu.memory_total,
        share=SHARE if share >= SHARE - SPARE else int(share * 100) / 100,
        least=int(gpu.memory_total * SHARE) // GIB * GIB if mixed else 0,
    )

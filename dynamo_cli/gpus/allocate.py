"""Gives GPUs to engine replicas: enough free memory first, then the closest sets for all of them together. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.gpus.search import Want, best_sets
from dynamo_cli.gpus.usable import GIB, crowding, obstacle

ANY_MIG = "mig"


class Request(NamedTuple):
    """One replica: `size` GPUs with `memory` bytes free on each (0: not known).

    `mig`: a MIG instance instead, "mig" for any, or the profile, such as mig-1g.10gb.
    """

    size: int
    memory: int = 0
    mig: str = ""


def allocate(
    gpus: Sequence[Gpu], requests: Sequence[Request], taken: Collection[str] = ()
) -> list[tuple[Gpu, ...]] | None:
    """The GPUs of each request, none of them twice and none `taken` (by UUID); None when they do not suffice.

    On a machine that has MIG instances only, whoever wants one GPU is given one of them. The same machine gives the
    same answer in whatever order its GPUs are told.
    """
    free = sorted((gpu for gpu in gpus if gpu.uuid not in taken), key=lambda gpu: (gpu.index, gpu.uuid))
    given: list[tuple[Gpu, ...]] = [()] * len(requests)
    parts = [at for at, request in enumerate(requests) if _wants_part(request, gpus)]
    for at in sorted(parts, key=lambda at: (requests[at].mig in ("", ANY_MIG), -requests[at].memory, at)):
        part = _best_part(free, requests[at])
        if part is None:
            return None
        given[at] = (part,)
        free = [gpu for gpu in free if gpu is not part]
    whole = [at for at, request in enumerate(requests) if request.size and at not in parts]
    sets = best_sets(
        [gpu for gpu in free if not gpu.profile], [Want(requests[at].size, requests[at].memory) for at in whole]
    )
    if sets is None:
        return None
    for at, chosen in zip(whole, sets, strict=True):
        given[at] = chosen
    return given


def only_parts(gpus: Sequence[Gpu]) -> bool:
    """Whether a machine offers MIG instances and no whole GPU."""
    return any(gpu.profile for gpu in gpus) and all(gpu.profile or gpu.mig for gpu in gpus)


def fits(gpu: Gpu, mig: str) -> bool:
    """Whether it is a MIG instance of the kind that is wanted."""
    return bool(gpu.profile) and mig in ("", ANY_MIG, f"mig-{gpu.profile}")


def _wants_part(request: Request, gpus: Sequence[Gpu]) -> bool:
    return bool(request.mig) or (request.size == 1 and only_parts(gpus))


def _best_part(free: Sequence[Gpu], request: Request) -> Gpu | None:
    """The smallest that has the memory that is wanted; when that is not known, the freest."""
    usable = [gpu for gpu in free if fits(gpu, request.mig) and not obstacle(gpu, request.memory)]

    def order(gpu: Gpu) -> tuple[int, int, int]:
        room = gpu.memory_total if request.memory else -(gpu.memory_free // GIB)
        return (crowding(gpu, request.memory), room, len(gpu.holders))

    return min(usable, key=order, default=None)

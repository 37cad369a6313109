"""Which GPUs to take: a pure choice over what the driver told."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dynamo_cli.gpus.gpu import Gpu


def pick_gpus(gpus: Sequence[Gpu], count: int, taken: Collection[str] = ()) -> tuple[Gpu, ...]:
    """The `count` GPUs with the most free memory whose UUID is not `taken`; fewer when there are no more.

    Ties go to the fewer processes, then the lower index, so that the same machine gives the same answer.
    The result is in order of index.
    """
    free = [gpu for gpu in gpus if gpu.uuid not in taken]
    freest = sorted(free, key=lambda gpu: (-gpu.memory_free, len(gpu.processes), gpu.index))
    return tuple(sorted(freest[:count], key=lambda gpu: gpu.index))

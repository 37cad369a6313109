"""Why a replica has these GPUs and why others were left out, in words for people. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from dynamo_cli.gpus.closeness import Closeness, closeness, peer_of
from dynamo_cli.gpus.gpu import Gpu, Peer
from dynamo_cli.gpus.usable import GIB, crowding, fill_words, obstacle


def choice_words(gpus: Sequence[Gpu]) -> str:
    """`GPUs 0,1: NVLink, 79.6 GiB free each`."""
    if not gpus:
        return ""
    words = gpus[0].words if len(gpus) == 1 else f"GPUs {','.join(str(gpu.index) for gpu in gpus)}"
    facts = ", ".join(filter(None, (_near_words(gpus), _free_words(gpus))))
    return f"{words}: {facts}" if facts else words


def left_out(gpus: Sequence[Gpu], given: Collection[str], held: Mapping[str, str], memory: int) -> Iterator[str]:
    """A line for each GPU that nobody was given although it is there. `held`: who has it already, by UUID.

    `memory`: the least that anybody wanted, in bytes, 0 when that is not known.
    """
    for gpu in gpus:
        if gpu.uuid in given:
            continue
        if gpu.uuid in held:
            yield f"{gpu.words} left out: {held[gpu.uuid]} has it"
        elif gpu.mig and any(part.profile and part.index == gpu.index for part in gpus):
            continue  # its instances speak for it
        elif why := obstacle(gpu, memory) or (fill_words(gpu) if crowding(gpu, memory) else ""):
            yield f"{gpu.words} left out: {why}"


def _near_words(gpus: Sequence[Gpu]) -> str:
    """ "" for a single one, and where the driver does not tell how they are joined."""
    if len(gpus) < 2:
        return ""
    near = closeness(gpus)
    if near is Closeness.NVLINK_ALL and len(gpus) > 2:
        return "NVLink between all"
    told = any(peer_of(gpus[0], other) != Peer() for other in gpus[1:])
    return near.words if told or near is not Closeness.ANY else ""


def _free_words(gpus: Sequence[Gpu]) -> str:
    if not all(gpu.memory_total for gpu in gpus):
        return ""
    least, most = (f"{pick(gpu.memory_free for gpu in gpus) / GIB:.1f}" for pick in (min, max))
    if least == most:
        return f"{least} GiB free" + (" each" if len(gpus) > 1 else "")
    return f"{least} to {most} GiB free"

"""Whether what a process held of a GPU is free again. Pure."""

from __future__ import annotations

from collections.abc import Callable

from dynamo_cli.gpus.gpu import Gpu, Holder
from dynamo_cli.gpus.usable import holders_words, memory_words

SLACK = 0.03
"""Of the memory: what the driver keeps for itself, more at one time than at another."""

Stranger = Callable[[int], bool]


def unreleased(gpu: Gpu, before: int, stranger: Stranger) -> str:
    """What is not free of a GPU that had `before` bytes free when it was given to a process; "" when all is.

    `stranger` says of a pid that it lives and is none of ours: its memory is its own, and waiting does not help.
    """
    slack = int(SLACK * gpu.memory_total)
    foreign = [holder for holder in gpu.holders if stranger(holder.pid)]
    held = gpu.memory_total - gpu.memory_free - sum(holder.memory for holder in foreign)
    if gpu.memory_free >= before - slack or held <= slack:
        return ""
    ours = [holder for holder in gpu.holders if holder not in foreign]
    return f"{gpu.words}: {memory_words(held)} not free yet" + (f", {holders_words(ours)}" if ours else "")


def intruders(gpu: Gpu, before: int, stranger: Stranger) -> tuple[Holder, ...]:
    """The strangers on a GPU that has less memory free than it had."""
    if gpu.memory_free >= before - int(SLACK * gpu.memory_total):
        return ()
    return tuple(holder for holder in gpu.holders if stranger(holder.pid))

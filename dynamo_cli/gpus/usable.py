"""Whether an engine can be started on a GPU: nobody else's memory, no mode that forbids it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dynamo_cli.gpus.gpu import Gpu, Holder

GIB, MIB, KIB = 2**30, 2**20, 2**10
CROWDED = 0.1
"""A GPU with less of its memory free than this share has no room for an engine."""
CLEAR = 0.85
"""One with more of it free than this is as good as an idle one."""
NAMED_HOLDERS = 3


def obstacle(gpu: Gpu, memory: int = 0) -> str:
    """Why nobody can start an engine on it that wants this many bytes (0: not known), in words; "" when one can."""
    if gpu.mig:
        return "it is in MIG mode"
    if gpu.compute_mode == "prohibited":
        return "its compute mode forbids programs"
    if gpu.compute_mode == "exclusive" and gpu.holders:
        return f"its compute mode allows one program, and {holders_words(gpu.holders)}"
    if memory and gpu.memory_total and gpu.memory_free < memory:
        return f"{memory_words(memory)} wanted, {fill_words(gpu)}"
    if gpu.memory_free < CROWDED * gpu.memory_total:
        return fill_words(gpu)
    return ""


def crowding(gpu: Gpu, memory: int = 0) -> int:
    """Tenths of its memory that others hold; 0 for one that is as good as idle, or has the `memory` that is wanted."""
    if memory or not gpu.memory_total or gpu.memory_free >= CLEAR * gpu.memory_total:
        return 0
    return 1 + (gpu.memory_total - gpu.memory_free) * 10 // gpu.memory_total


def fill_words(gpu: Gpu) -> str:
    """Who holds its memory; how much is free where that does not explain it."""
    said = sum(holder.memory for holder in gpu.holders)
    if said * 2 > gpu.memory_total - gpu.memory_free:
        return holders_words(gpu.holders)
    free = f"only {memory_words(gpu.memory_free)} of {memory_words(gpu.memory_total)} free"
    return f"{free}, {holders_words(gpu.holders)}" if gpu.holders else free


def holders_words(holders: Sequence[Holder]) -> str:
    named = [holder_words(holder) for holder in holders[:NAMED_HOLDERS]]
    more = len(holders) - len(named)
    return ", ".join(named) + (f", and {more} more" if more > 0 else "")


def holder_words(holder: Holder) -> str:
    who = f"{holder.name} (pid {holder.pid})" if holder.name else f"pid {holder.pid}"
    return f"{who} holds {memory_words(holder.memory)}" if holder.memory else f"{who} uses it"


def memory_words(count: int) -> str:
    """Bytes in GiB, few ones in MiB, very few in KiB."""
    if count >= GIB:
        return f"{count / GIB:.1f} GiB"
    return f"{count / KIB:.1f} KiB" if 0 < count < MIB else f"{count / MIB:.0f} MiB"


def without(gpu: Gpu, pids: Sequence[int] | frozenset[int]) -> Gpu:
    """As it will be when these processes have ended."""
    leaving = [holder for holder in gpu.holders if holder.pid in pids]
    if not leaving:
        return gpu
    free = min(gpu.memory_total, gpu.memory_free + sum(holder.memory for holder in leaving))
    staying = tuple(holder for holder in gpu.holders if holder not in leaving)
    return msgspec.structs.replace(gpu, memory_free=free, holders=staying)

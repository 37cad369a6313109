"""Main memory, swap and shared memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.doctor.check import GIB, MIB, Check, Question, error, ok, size, warn
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.runtime.main_memory import Memory, read_memory

SHARED = Path("/dev/shm")
TIGHT, TOO_LITTLE = GIB, 256 * MIB
"""Below the first a small model just fits, below the second not even a frontend and a mock worker do."""
SHARED_WANTED = GIB
"""What the processes of one tensor-parallel engine exchange their tensors through."""


class Swap(NamedTuple):
    total: int
    used: int


class Shared(NamedTuple):
    """`exists` and may be written; sizes in bytes."""

    exists: bool
    writable: bool = True
    total: int = 0
    free: int = 0


def questions(machine: Machine) -> Iterator[Question]:
    yield Question("memory", lambda: memory_check(read_memory()))
    yield Question("swap", lambda: swap_check(read_swap()))
    yield Question("shared-memory", lambda: shared_check(read_shared(), machine.asked_parallel))


def memory_check(memory: Memory) -> Check:
    words = f"{size(memory.usable)} available of {size(memory.total)}"
    if memory.limit is not None:
        words += f"; the control group may hold {size(memory.limit)} and holds {size(memory.used)}"
    if memory.usable >= TIGHT:
        return ok("memory", words)
    fix = "end what needs it, or raise the limit of the container: docker run --memory 8g"
    return (error if memory.usable < TOO_LITTLE else warn)("memory", words, fix)


def swap_check(swap: Swap) -> Check:
    if not swap.total:
        return ok("swap", "none")
    words = f"{size(swap.used)} used of {size(swap.total)}"
    if swap.used * 2 > swap.total and swap.used > GIB:
        return warn("swap", f"{words}: an engine that is swapped out answers slowly", "end what needs the memory")
    return ok("swap", words)


def shared_check(shared: Shared, parallel: bool) -> Check:
    name = "shared-memory"
    if not shared.exists:
        return warn(name, f"{SHARED} is missing: no tensor parallelism", f"mount -t tmpfs tmpfs {SHARED}")
    if not shared.writable:
        return warn(name, f"{SHARED} cannot be written: no tensor parallelism", f"chmod 1777 {SHARED}")
    words = f"{SHARED}: {size(shared.free)} free of {size(shared.total)}"
    if shared.free >= SHARED_WANTED:
        return ok(name, words)
    why = f"{words}; engines with tensor parallelism want {size(SHARED_WANTED)}"
    fix = f"docker run --shm-size 2g, or as root: mount -o remount,size=2g {SHARED}"
    return (error if parallel else warn)(name, why, fix)


def read_swap() -> Swap:
    import psutil

    facts = psutil.swap_memory()
    return Swap(facts.total, facts.used)


def read_shared(directory: Path = SHARED) -> Shared:
    try:
        facts = os.statvfs(directory)
    except OSError:
        return Shared(exists=False)
    writable = os.access(directory, os.W_OK | os.X_OK)
    return Shared(True, writable, facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize)

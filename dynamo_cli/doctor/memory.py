"""Main memory, swap and shared memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.doctor.check import GIB, MIB, Check, Question, error, ok, size, warn
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.supervisor.cgroup import group_files

SHARED = Path("/dev/shm")
TIGHT, TOO_LITTLE = GIB, 256 * MIB
"""Below the first a small model just fits, below the second not even a frontend and a mock worker do."""
SHARED_WANTED = GIB
"""What the processes of one tensor-parallel engine exchange their tensors through."""
HUGE = 2**60
"""Version 1 of control groups writes a number of this size for no limit."""


class Memory(NamedTuple):
    """In bytes. `limit` of our control group and what of it is `used`; None without one."""

    total: int
    available: int
    limit: int | None = None
    used: int = 0

    @property
    def usable(self) -> int:
        return self.available if self.limit is None else max(0, min(self.available, self.limit - self.used))


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


def read_memory(root: Path = Path("/")) -> Memory:
    import psutil

    facts = psutil.virtual_memory()
    limits = list(_limits(root))
    limit, used = min(limits, default=(None, 0), key=lambda each: each[0] - each[1])
    return Memory(facts.total, facts.available, limit, used)


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """(limit, what can not be given back) of each control group around us that has a limit."""
    for file in group_files(root, "memory", "memory.max", "memory.limit_in_bytes"):
        word = file.read_text().strip()
        if word.isdecimal() and int(word) < HUGE:
            usage = file.with_name("memory.current" if file.name == "memory.max" else "memory.usage_in_bytes")
            yield int(word), max(0, int(usage.read_text()) - _page_cache(file.with_name("memory.stat")))


def _page_cache(statistics: Path) -> int:
    """Bytes of files the kernel holds for the group and drops when it needs the room."""
    pairs = (line.split() for line in statistics.read_text().splitlines())
    return sum(int(pair[1]) for pair in pairs if pair[0] in ("inactive_file", "total_inactive_file"))


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

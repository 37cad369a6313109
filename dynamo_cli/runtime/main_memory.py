"""How much main memory there is for us: the machine's, or what our control group leaves of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.runtime.cgroup import group_files

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

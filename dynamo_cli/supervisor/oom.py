"""Whether the kernel killed a process because memory ran out: its counters before and after, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class OomKills(NamedTuple):
    """How many processes were killed for want of memory: in our control group, and on the whole machine."""

    group: int = 0
    machine: int = 0


def oom_kills(root: Path = Path("/")) -> OomKills:
    """The counters now; zeros where the kernel does not tell."""
    return OomKills(_group_kills(root), _counter(root / "proc/vmstat", "oom_kill"))


def oom_words(before: OomKills, after: OomKills) -> str:
    """Why a process that was killed between two looks was killed, empty when memory was not the reason."""
    if after.group > before.group:
        return "out of memory: the limit of its control group (container, job or systemd unit)"
    if after.machine > before.machine:
        return "out of memory: this machine had none left"
    return ""


def _group_kills(root: Path) -> int:
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return 0
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            return _nearest(root / "sys/fs/cgroup", path, "memory.events")
        if "memory" in controllers.split(","):
            return _nearest(root / "sys/fs/cgroup/memory", path, "memory.oom_control")
    return 0


def _nearest(mount: Path, group: str, name: str) -> int:
    """In a container the group's path may be one of the host that is not to be seen here."""
    for directory in (mount / group.lstrip("/"), mount):
        if (directory / name).exists():
            return _counter(directory / name, "oom_kill")
    return 0


def _counter(file: Path, name: str) -> int:
    try:
        for line in file.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except (OSError, ValueError):
        return 0
    return 0

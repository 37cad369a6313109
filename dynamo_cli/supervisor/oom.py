"""Whether the kernel killed a process because memory ran out: its counters before and after, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dynamo_cli.runtime.cgroup import group_files


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
    files = group_files(root, "memory", "memory.events", "memory.oom_control")
    return _counter(files[0], "oom_kill") if files else 0


def _counter(file: Path, name: str) -> int:
    try:
        for line in file.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except (OSError, ValueError):
        return 0
    return 0

"""What processes and their descendants take of this machine."""

from __future__ import annotations

import time
from typing import NamedTuple

import psutil

from dynamo_cli.protocol.measures import ProcessUse
from dynamo_cli.supervisor.memory import tree

SHORTEST_S = 0.01


class _Look(NamedTuple):
    """`cpu_s`: all it has taken. `at`: of the clock."""

    pid: int
    cpu_s: float
    at: float


class _Taken(NamedTuple):
    """By one process and those of its children that have ended."""

    cpu_s: float
    memory: int


class UseMeter:
    """By name of the service; remembers of each how much CPU time it had taken the last time."""

    def __init__(self) -> None:
        self._looks: dict[str, _Look] = {}
        self._uses: dict[str, ProcessUse] = {}

    def last(self, name: str) -> ProcessUse | None:
        """What was measured last."""
        return self._uses.get(name)

    def measure(self, name: str, pid: int, now: float) -> None:
        """At `now` of a clock that does not go back. The first time over all its life; nothing of one that is gone."""
        processes = tree(pid)
        taken = [one for process in processes if (one := _taken(process)) is not None]
        if not taken:
            return
        cpu_s, memory = sum(one.cpu_s for one in taken), sum(one.memory for one in taken)
        before = self._looks.get(name)
        if before is None or before.pid != pid or before.at >= now:
            before = _Look(pid, 0.0, now - max(time.time() - processes[0].create_time(), SHORTEST_S))
        cpu = max(0.0, cpu_s - before.cpu_s) / (now - before.at)
        self._looks[name] = _Look(pid, cpu_s, now)
        self._uses[name] = ProcessUse(cpu=round(cpu, 3), memory=memory)

    def forget(self, names: set[str]) -> None:
        """All but these are no more."""
        for name in self._looks.keys() - names:
            del self._looks[name], self._uses[name]


def _taken(process: psutil.Process) -> _Taken | None:
    """None of one that is gone."""
    try:
        with process.oneshot():
            return _Taken(sum(process.cpu_times()[:4]), process.memory_info().rss)
    except psutil.Error:
        return None

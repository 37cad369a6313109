"""CPU seconds and resident memory of processes with all their descendants, and of this process."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import psutil

from dynamo_cli.errors import UsageError


class Usage(NamedTuple):
    cpu_s: float
    rss_bytes: int


def parse_pids(pairs: Sequence[str]) -> dict[str, int]:
    """`NAME=PID` or `PID`, each of a living process. Raises UsageError."""
    pids = {}
    for pair in pairs:
        name, _, number = pair.rpartition("=")
        if not number.isdigit():
            raise UsageError(f"--pid {pair}: expected NAME=PID")
        if not psutil.pid_exists(int(number)):
            raise UsageError(f"--pid {pair}: there is no process {number}")
        pids[name or number] = int(number)
    return pids


def usage(pid: int) -> Usage:
    """Of `pid` and its descendants, ended ones included; zero for a process that is gone."""
    uses = [_own_usage(process) for process in _tree(pid)]
    return Usage(sum(use.cpu_s for use in uses), sum(use.rss_bytes for use in uses))


def own_peak_rss_bytes() -> int:
    """The most memory this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _own_usage(process: psutil.Process) -> Usage:
    try:
        return Usage(sum(process.cpu_times()[:4]), process.memory_info().rss)
    except psutil.Error:
        return Usage(0.0, 0)


class Meter:
    """CPU seconds since `start()` of named processes and of this one."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before: dict[str, Usage] = {}
        self._own = 0.0

    def start(self) -> None:
        self._before = {name: usage(pid) for name, pid in self._pids.items()}
        self._own = time.process_time()

    def read(self) -> tuple[dict[str, Usage], float]:
        """The named processes' use, and this process's own CPU seconds."""
        own = time.process_time() - self._own
        after = {name: usage(pid) for name, pid in self._pids.items()}
        return {n: Usage(u.cpu_s - self._before[n].cpu_s, u.rss_bytes) for n, u in after.items()}, own


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []

"""Processes of this machine: who is alive, who carries our marks. The guard uses it: standard library only on Linux.

A pid is always kept with its start time, so that a reused pid is never taken for the old process.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Collection, Iterator
from typing import NamedTuple

HAS_PROC = sys.platform == "linux"
TELLS_CHILDREN = os.path.exists("/proc/thread-self/children")


class ProcessId(NamedTuple):
    """`start`: ticks since boot on Linux, else hundredths of a second since the epoch."""

    pid: int
    start: int


class Entry(NamedTuple):
    pid: int
    start: int
    parent: int
    group: int
    session: int
    zombie: bool

    @property
    def id(self) -> ProcessId:
        return ProcessId(self.pid, self.start)


def entry(pid: int) -> Entry | None:
    """What the kernel says of this pid now; None when nobody has it."""
    if not HAS_PROC:
        return _portable_entry(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Entry(pid, int(fields[19]), int(fields[1]), int(fields[2]), int(fields[3]), fields[0] in (b"Z", b"X", b"x"))


def table() -> Iterator[Entry]:
    """Every process that can be seen, zombies too."""
    for pid in _pids():
        found = entry(pid)
        if found:
            yield found


def children_of(pid: int) -> list[int] | None:
    """The pids of its children, adopted ones too, none when it is gone; None where the kernel does not tell."""
    if not TELLS_CHILDREN:
        return None
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [child for thread in threads for child in _children_of_thread(pid, thread)]


def identify(pid: int) -> ProcessId | None:
    """The pid with its start time, None when it is gone."""
    found = entry(pid)
    return found.id if found else None


def alive(process: ProcessId) -> bool:
    """Whether this very process still runs; a zombie does not."""
    found = entry(process.pid)
    return found is not None and found.start == process.start and not found.zombie


def age_s(process: ProcessId) -> float:
    """For how many seconds it has been there."""
    if not HAS_PROC:
        return max(0.0, time.time() - process.start / 100)
    with open("/proc/uptime") as file:
        return max(0.0, float(file.read().split()[0]) - process.start / os.sysconf("SC_CLK_TCK"))


def environment(pid: int) -> bytes:
    """The environment the process was started with, NUL separated; empty when it may not be read."""
    if not HAS_PROC:
        return _portable_environment(pid)
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""


def command_line(pid: int) -> list[str]:
    """The words of its command line; empty when it has ended, a zombie's too, or when it may not be read."""
    if not HAS_PROC:
        return _portable_command_line(pid)
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read()
    except OSError:
        return []
    return os.fsdecode(line).removesuffix("\0").split("\0") if line else []


def carries(pid: int, marks: Collection[bytes]) -> bool:
    """Whether its environment holds every `NAME=value` of `marks`."""
    variables = environment(pid).split(b"\0")
    return all(mark in variables for mark in marks)


def find(leaders: Collection[ProcessId], marks: Collection[bytes]) -> list[Entry]:
    """The living processes in the groups and sessions of `leaders`, and those that carry all `marks`; never oneself."""
    everyone = {e.pid: e for e in table()}
    ours = {p.pid for p in leaders if p.pid not in everyone or everyone[p.pid].start == p.start}
    me = os.getpid()
    return [
        e
        for e in everyone.values()
        if not e.zombie and e.pid != me and (e.group in ours or e.session in ours or (marks and carries(e.pid, marks)))
    ]


def send(process: ProcessId, signum: int) -> None:
    """Signal this very process; nothing happens when it is gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except AttributeError:
        handle = -1
    except OSError:
        return
    try:
        if not alive(process):
            return
        if handle < 0:
            os.kill(process.pid, signum)
        else:
            signal.pidfd_send_signal(handle, signum)
    except (ProcessLookupError, PermissionError):
        return
    finally:
        if handle >= 0:
            os.close(handle)


def boot_id() -> str:
    """Changes with every boot: start times of another boot mean nothing."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def _children_of_thread(pid: int, thread: str) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{thread}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def _pids() -> list[int]:
    if HAS_PROC:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    import psutil

    return psutil.pids()


def _portable_entry(pid: int) -> Entry | None:
    import psutil

    try:
        process = psutil.Process(pid)
        start = int(process.create_time() * 100)
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return Entry(pid, start, process.ppid(), os.getpgid(pid), os.getsid(pid), zombie)
    except (psutil.Error, OSError):
        return None


def _portable_command_line(pid: int) -> list[str]:
    import psutil

    try:
        return psutil.Process(pid).cmdline()
    except (psutil.Error, OSError):
        return []


def _portable_environment(pid: int) -> bytes:
    import psutil

    try:
        variables = psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return b""
    return b"\0".join(f"{name}={value}".encode() for name, value in variables.items())

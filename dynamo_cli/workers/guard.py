"""Ends what an engine has started when the worker is gone, even by kill -9 and without a supervisor.

The guard is a process of its own that reads a pipe which only the worker holds. While the worker lives it looks now and
then who descends from it; at the end of the pipe it kills them, and whoever carries the worker's mark in its
environment, and frees the shared memory they leave.
"""

from __future__ import annotations

import os
import secrets
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.workers.shared_memory import remove, segments_of

MARK = "DYNAMO_WORKER_MARK"
LOOK_S, LOOK_RARELY_S = 0.5, 10.0
"""How often the guard looks: at first, when an engine starts its processes, and later."""
QUIET_PASSES = 5
PASS_S = 0.02
_ROOT = str(Path(__file__).parents[2])
_PROGRAM = f"import sys; sys.path.insert(0, {_ROOT!r}); from dynamo_cli.workers.guard import main; main()"
"""Without whatever else the interpreter would load: it lives as long as the worker, and should be small."""
Process = tuple[int, int]
"""A pid, and its start in ticks since boot: a pid that is used again is another process."""


class _Guard:
    """`pipe`: closed when this process ends, and only then."""

    pipe: int | None = None
    process: subprocess.Popen[bytes] | None = None


def guard_children() -> None:
    """Guard this process from now on: before the engine starts anything. Idempotent; does nothing but on Linux."""
    if _Guard.pipe is not None or sys.platform != "linux":
        return
    mark = secrets.token_hex(8)
    reading, _Guard.pipe = os.pipe()
    argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(os.getpid()), mark]
    _Guard.process = subprocess.Popen(argv, stdin=reading, stdout=subprocess.DEVNULL, start_new_session=True)
    os.close(reading)
    os.register_at_fork(after_in_child=_let_go)
    os.environ[MARK] = mark


def _let_go() -> None:
    if _Guard.pipe is not None:
        os.close(_Guard.pipe)
        _Guard.pipe = None


def main() -> None:
    """`... PID MARK`, with the pipe as standard input."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    worker, mark = int(sys.argv[1]), f"{MARK}={sys.argv[2]}".encode()
    seen: set[Process] = set()
    pause_s = LOOK_S
    while not select.select([0], [], [], pause_s)[0]:
        everyone = _table()
        seen = {(pid, start) for pid, start in seen if pid in everyone and everyone[pid].start == start}
        seen |= _descendants(worker, everyone)
        pause_s = min(pause_s * 1.1, LOOK_RARELY_S)
    quiet = 0
    while quiet < QUIET_PASSES:
        everyone = _table()
        left = [pid for pid, start in seen if pid in everyone and everyone[pid].start == start]
        left += [pid for pid in everyone if _carries(pid, mark)]
        segments = set().union(*map(segments_of, left))
        for pid in left:
            _kill(pid)
        remove(segments)
        quiet = 0 if left else quiet + 1
        time.sleep(PASS_S)


class _Entry(NamedTuple):
    parent: int
    start: int


def _table() -> dict[int, _Entry]:
    """Every process but this one and zombies."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] not in (b"Z", b"X"):
                table[int(name)] = _Entry(int(fields[1]), int(fields[19]))
    return table


def _descendants(root: int, everyone: dict[int, _Entry]) -> set[Process]:
    children: dict[int, list[int]] = {}
    for pid, entry in everyone.items():
        children.setdefault(entry.parent, []).append(pid)
    found: set[Process] = set()
    waiting = [root]
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            found.add((pid, everyone[pid].start))
            waiting.append(pid)
    return found


def _carries(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark in file.read().split(b"\0")
    except OSError:
        return False


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the guard looks into /proc")
ENGINE = """
import os, subprocess, sys, time
from dynamo_cli.workers.guard import guard_children
guard_children()
guard_children()
spawned = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
forked = os.fork()
if not forked:
    os.setsid()
    grandchild = subprocess.Popen(["sleep", "60"], env={})
    time.sleep(60)
time.sleep(float(sys.argv[1]))
print(spawned.pid, forked, flush=True)
time.sleep(float(sys.argv[2]))
"""


def until(reached: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := reached()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["killed", "exits"])
def test_what_an_engine_started_does_not_outlive_its_worker(end: str, clean_environment: Path) -> None:
    lifetime = "60" if end == "killed" else "0"
    argv = [sys.executable, "-c", ENGINE, "1.5", lifetime]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        descendants = until(lambda: _all(process.pid, 4))
        pids = list(map(int, process.stdout.readline().split()))
        assert set(pids) < set(descendants)
        if end == "killed":
            assert living(descendants) == descendants
            process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: not living(descendants), 5)


def _all(pid: int, count: int) -> list[int]:
    """The guard, both children, and the child of one of them."""
    found = [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return found if len(found) >= count else []


SHARER = """
import subprocess, sys
from dynamo_cli.workers.guard import guard_children
guard_children()
child = "from multiprocessing.shared_memory import SharedMemory; import time; s = SharedMemory(create=True, size=9);" \
    "print(s.name, flush=True); time.sleep(60)"
subprocess.run([sys.executable, "-c", child])
"""


@pytest.mark.slow
def test_it_frees_the_shared_memory_of_those_it_ends(clean_environment: Path) -> None:
    argv = [sys.executable, "-c", SHARER]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        segment = Path("/dev/shm", process.stdout.readline().strip())
        assert segment.exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: not segment.exists(), 5)

"""Real `dynamo` processes for a test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

DYNAMO = (sys.executable, "-m", "dynamo_cli")


class Process:
    """`log` is what it wrote so far, on stdout and stderr. `program`: what the arguments are given to."""

    def __init__(self, arguments: list[str], log: Path, program: Sequence[str] = DYNAMO, **popen: Any) -> None:
        self._log = log
        with log.open("wb") as output:
            self.popen = subprocess.Popen([*program, *arguments], stdout=output, stderr=subprocess.STDOUT, **popen)

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def url(self) -> str:
        """Where a frontend serves, once it does."""
        found = until(lambda: self.popen.poll() is not None or re.search(r"serving on (\S+),", self.log), self)
        assert isinstance(found, re.Match), self.log
        return found[1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.popen.send_signal(number)
        return self.popen.wait(20)


def until(reached: Callable[[], Any], *processes: Process, timeout_s: float = 30) -> Any:
    """Poll; the processes' logs are shown when time is up."""
    deadline = time.monotonic() + timeout_s
    while not (value := reached()):
        assert time.monotonic() < deadline, "\n".join(process.log for process in processes)
        time.sleep(0.02)
    return value


def models(url: str) -> list[str]:
    return [model["id"] for model in httpx.get(f"{url}/v1/models", trust_env=False).json()["data"]]


@contextmanager
def started(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Yields a function that starts `dynamo ARGUMENTS`; everything is killed at the end."""
    processes: list[Process] = []

    def start(*arguments: str, **popen: Any) -> Process:
        processes.append(Process(list(arguments), tmp_path / f"{len(processes)}.log", **popen))
        return processes[-1]

    try:
        yield start
    finally:
        for process in processes:
            if process.popen.poll() is None:
                os.kill(process.popen.pid, signal.SIGKILL)
            process.popen.wait()

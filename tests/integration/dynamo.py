"""The `dynamo` executable as a user runs it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.supervisor.harness import until

EXECUTABLE = Path(sys.executable).with_name("dynamo")
TOPOLOGIES = Path(__file__).parents[2] / "topologies"


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Dynamo:
    """Runs in `environ`, or in the test's own environment as it then is."""

    def __init__(self, directory: Path, environ: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._environ = environ

    def run(self, *arguments: str, timeout_s: float = 60.0) -> Result:
        done = subprocess.run(
            [EXECUTABLE, *arguments], capture_output=True, text=True, timeout=timeout_s, env=self._environ
        )
        return Result(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def foreground(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """`up` in the foreground, its output in files; stopped at the end."""
        out, err = self._directory / "out", self._directory / "err"
        with (
            out.open("w") as stdout,
            err.open("w") as stderr,
            subprocess.Popen(
                [EXECUTABLE, "up", *arguments], stdout=stdout, stderr=stderr, text=True, start_new_session=True
            ) as process,
        ):
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                process.wait(20)

    @property
    def out(self) -> str:
        return (self._directory / "out").read_text()

    @property
    def err(self) -> str:
        return (self._directory / "err").read_text()

    def write(self, text: str, name: str = "topology.toml") -> str:
        file = self._directory / name
        file.write_text(text)
        return str(file)

    def status(self, name: str = "") -> dict[str, Any]:
        result = self.run("status", *([name] if name else []), "--json")
        return dict(json.loads(result.out)) if result.out else {"state": "", "reason": result.err}

    def until(self, state: str, timeout_s: float = 20.0) -> dict[str, Any]:
        return until(lambda: s if (s := self.status())["state"] == state else None, timeout_s, state) or {}

    def pid(self, service: str) -> int:
        pid = next(s["pid"] for s in self.status()["services"] if s["name"] == service)
        assert isinstance(pid, int)
        return pid


def admin(socket: Path) -> httpx.Client:
    """HTTP to a component's admin socket."""
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://admin", timeout=20.0)


def metric(socket: Path, name: str) -> float:
    """The sum of a metric over its labels."""
    with admin(socket) as client:
        lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


def ask(url: str, model: str, text: str = "hello there", **more: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 8, **more}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=20.0)


def cpu_s_of(run: Callable[[], Any]) -> float:
    """CPU seconds of the child processes that `run` starts and awaits."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)

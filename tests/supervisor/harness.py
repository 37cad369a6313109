"""Real supervisors of tiny children, and proof that nothing of them is left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from dynamo_cli.runtime.control import ControlClient, DeploymentStatus
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.deployments import open_deployment
from dynamo_cli.supervisor.leftovers import take_down
from dynamo_cli.supervisor.processes import alive, environment, table
from dynamo_cli.supervisor.record import Record, read_record
from dynamo_cli.topology.process import Plan

T = TypeVar("T")

STUBBORN = """
python=$0; $python -c 'import os, signal, time
os.setsid()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(1000)' &
wait
"""
"""A child whose child left its session and ignores TERM."""


def until(condition: Callable[[], T], timeout_s: float = 10.0, what: str = "the condition") -> T:
    """The first true value of `condition`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout_s} s"
        time.sleep(0.01)
    return value


def marked(home: Path) -> list[int]:
    """The living children of every deployment under this home; the supervisors and guards carry no id."""
    mark = f"DYNAMO_HOME={home}".encode()
    found = []
    for process in table():
        variables = environment(process.pid).split(b"\0")
        if not process.zombie and mark in variables and any(v.startswith(b"DYNAMO_DEPLOYMENT_ID=") for v in variables):
            found.append(process.pid)
    return found


def gone(home: Path, within_s: float) -> None:
    until(lambda: not marked(home), within_s, f"the end of {marked(home)}")


class Running:
    """A supervisor in a process of its own."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.paths = DeploymentPaths(name)
        self.client = ControlClient(self.paths.control_socket)

    @property
    def record(self) -> Record:
        record = read_record(self.paths)
        assert record is not None
        return record

    def status(self) -> DeploymentStatus:
        return self.client.status()

    def pid(self, service: str) -> int | None:
        return next(s.pid for s in self.status().services if s.name == service)

    def until(self, state: str, timeout_s: float = 10.0) -> DeploymentStatus:
        def reached() -> DeploymentStatus | None:
            try:
                status = self.status()
            except Exception:
                return None
            return status if status.state == state else None

        found = until(reached, timeout_s, f"{state} of {self.paths.deployment}")
        assert found is not None
        return found

    def finish(self, timeout_s: float = 15.0) -> tuple[int, str, str]:
        """(exit code, stdout, stderr) once it has ended."""
        out, err = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, out, err


def run_plan(plan: Plan, *flags: str) -> subprocess.Popen[str]:
    file = Path(os.environ["DYNAMO_HOME"]) / f"{plan.deployment}.plan"
    file.write_bytes(msgspec.json.encode(plan))
    command = [sys.executable, str(Path(__file__).with_name("run_plan.py")), str(file), *flags]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


@contextmanager
def foreground(plan: Plan, *flags: str) -> Iterator[Running]:
    """`up` in the foreground; whatever the test did, it is stopped and nothing is left."""
    running = Running(plan.deployment, run_plan(plan, *flags))
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
        running.finish()
        gone(Path(os.environ["DYNAMO_HOME"]), 3.0)


@contextmanager
def detached(plan: Plan) -> Iterator[Running]:
    """`up -d` that is READY; nobody reads what a foreground `up` would show, and it would wait for that."""
    with foreground(plan, "-d") as running:
        running.until("READY")
        running.process.wait(20)
        try:
            yield running
        finally:
            found = open_deployment(plan.deployment)
            assert found
            take_down(found)


def kill_supervisor(running: Running) -> None:
    supervisor = running.record.supervisor
    os.kill(supervisor.pid, signal.SIGKILL)
    until(lambda: not alive(supervisor))


def json_lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


async def asyncio_thread(call: Callable[[], T]) -> T:
    """A blocking call beside the loop that answers it."""
    return await asyncio.get_running_loop().run_in_executor(None, call)

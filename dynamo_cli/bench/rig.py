"""Deployments to measure: started, asked and stopped through the executable, in a home of their own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import msgspec

from dynamo_cli.bench.report import Report
from dynamo_cli.bench.run import run_load
from dynamo_cli.bench.target import Address, parse_url
from dynamo_cli.bench.work.synthetic import Shape
from dynamo_cli.bench.workload import Workload
from dynamo_cli.errors import DynamoError
from dynamo_cli.runtime.control import DeploymentStatus

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "mock.toml"
ONE_WORKER = ("frontend.port=0", "workers.decode.replicas=1")


class Finished(NamedTuple):
    """A command that ended well: what it printed, its CPU seconds and wall seconds."""

    stdout: str
    cpu_s: float
    wall_s: float


@dataclass
class Deployment:
    """A running deployment of one model with one frontend."""

    status: DeploymentStatus

    @property
    def address(self) -> Address:
        return parse_url(self.status.url)

    @property
    def model(self) -> str:
        return self.status.models[0]

    @property
    def frontend_pid(self) -> int:
        return next(service.pid or 0 for service in self.status.services if service.kind == "frontend")

    @cached_property
    def template_tokens(self) -> int:
        """What the chat template adds to a prompt, in tokens."""
        return self.ask(Workload(1, 1, shape=Shape(isl=20, osl=1), stream=False)).prompt_tokens - 20

    def load(self, prompt_tokens: int, workload: Workload) -> Report:
        """Measure with prompts of about `prompt_tokens`. Raises DynamoError when a request failed."""
        shape = replace(workload.shape, isl=prompt_tokens - self.template_tokens)
        return self.ask(replace(workload, shape=shape, pids={"frontend": self.frontend_pid}))

    def ask(self, workload: Workload) -> Report:
        """Raises DynamoError when a request failed."""
        report = run_load(self.address, self.model, workload)
        if report.errors:
            raise DynamoError(f"requests failed: {report.errors}: {report.error_sample}")
        return report


class Rig:
    """`home` is a short, empty directory; nothing is written elsewhere."""

    def __init__(self, home: Path) -> None:
        runtime = home / "run"
        runtime.mkdir(mode=0o700)
        foreign = ("DYN_", "DYNAMO_")
        self._env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self._env |= {"DYNAMO_HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}

    def dynamo(self, *args: str) -> Finished:
        """Raises DynamoError with the command's own last line when it fails."""
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [sys.executable, "-m", "dynamo_cli", *args]
        done = subprocess.run(command, env=self._env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            reason = (done.stderr or done.stdout).strip().split("\n")[-1]
            raise DynamoError(f"dynamo {' '.join(args)} ended with {done.returncode}: {reason}")
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Finished(done.stdout, cpu_s, wall)

    @contextmanager
    def deployment(self, *sets: str) -> Iterator[Deployment]:
        """One frontend and one mock worker, until the end of the block."""
        options = [word for value in (*ONE_WORKER, *sets) for word in ("--set", value)]
        try:
            up = self.dynamo("up", "-d", str(TOPOLOGY), "--json", *options)
            yield Deployment(msgspec.json.decode(up.stdout, type=DeploymentStatus))
        finally:
            self.dynamo("down", "--all")

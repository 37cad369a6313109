"""This project's side: deployments started, asked and stopped through the executable, in a home of their own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from dynamo_cli.bench.budgets.served import Served
from dynamo_cli.bench.target import parse_url
from dynamo_cli.errors import DynamoError
from dynamo_cli.runtime.control import DeploymentStatus

TOPOLOGY = Path(__file__).parents[3] / "topologies" / "mock.toml"
ONE_WORKER = ("frontend.port=0", "workers.decode.replicas=1")


class Finished(NamedTuple):
    """A command that ended well: what it printed, its CPU seconds and wall seconds."""

    stdout: str
    cpu_s: float
    wall_s: float


class Rig:
    """`home` is a short, empty directory; nothing is written elsewhere.

    Commands run in the caller's environment with `environ` on top, as arguments of the command `before`.
    """

    name = "dynamo"

    def __init__(
        self, home: Path, environ: Mapping[str, str] = MappingProxyType({}), before: Sequence[str] = ()
    ) -> None:
        self.home = home
        self._before = before
        runtime = home / "run"
        runtime.mkdir(mode=0o700)
        foreign = ("DYN_", "DYNAMO_")
        self._env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self._env |= {"DYNAMO_HOME": str(home), "XDG_RUNTIME_DIR": str(runtime), **environ}

    def dynamo(self, *args: str) -> Finished:
        """Raises DynamoError with the command's own last line when it fails."""
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [*self._before, sys.executable, "-m", "dynamo_cli", *args]
        done = subprocess.run(command, env=self._env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            reason = (done.stderr or done.stdout).strip().split("\n")[-1]
            raise DynamoError(f"dynamo {' '.join(args)} ended with {done.returncode}: {reason}")
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Finished(done.stdout, cpu_s, wall)

    def start_beside(self, module: str, *args: str) -> subprocess.Popen[str]:
        """A module as a process that belongs to the deployment which is being served; it is told and asked by pipes."""
        env = self._env | {"DYNAMO_DEPLOYMENT": TOPOLOGY.stem}
        command = [sys.executable, "-m", module, *args]
        return subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @contextmanager
    def serve(self, *, delay: bool, sets: Sequence[str] = ()) -> Iterator[Served]:
        """One frontend and one mock worker; `sets`: more settings of the topology."""
        settings = (*ONE_WORKER, f"workers.decode.options.speedup_ratio={int(delay)}", *sets)
        options = [word for value in settings for word in ("--set", value)]
        try:
            up = self.dynamo("up", "-d", str(TOPOLOGY), "--json", *options)
            yield _served(msgspec.json.decode(up.stdout, type=DeploymentStatus))
        finally:
            self.dynamo("down", "--all")


def _served(status: DeploymentStatus) -> Served:
    frontend = next(service for service in status.services if service.kind == "frontend")
    return Served(parse_url(status.url), status.models[0], frontend.pid or 0)

"""The deployment that faults are done to: two frontends, four simulated workers with the pace of real ones, mode kv."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import psutil

from dynamo_cli.bench.budgets.rig import TOPOLOGY, Rig
from dynamo_cli.errors import DynamoError
from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.supervisor.deployments import open_deployment, status_of
from dynamo_cli.supervisor.processes import command_line

NAME = TOPOLOGY.stem
FRONTENDS, WORKERS = 2, 4
PACE = 0.3
"""Of the mock's speed: some 20 ms a token, which leaves a small machine time for everything else."""
SETTINGS = (
    "frontend.port=0",
    f"frontend.replicas={FRONTENDS}",
    "router.mode='kv'",
    f"workers.decode.replicas={WORKERS}",
    f"workers.decode.options.speedup_ratio={PACE}",
)
GONE_S = 5.0


class Deployment:
    """Runs detached. `kills`: when a frontend was killed, by `time.perf_counter`."""

    def __init__(self, rig: Rig, status: DeploymentStatus) -> None:
        self.rig = rig
        self.url = status.url
        self.model = status.models[0]
        self.supervisor_pid = status.supervisor_pid
        self.root = rig.home / NAME
        self.frontend_kills: list[float] = []

    def status(self) -> DeploymentStatus:
        """NotReady when it has ended."""
        found = open_deployment(NAME, self.rig.home)
        if found is None:
            raise DynamoError(f"{NAME} has no state any more")
        return status_of(found)

    def services(self, kind: str) -> list[ServiceStatus]:
        """Those that run now."""
        return [service for service in self.status().services if service.kind == kind and service.pid]

    def keeper_pid(self) -> int:
        """DynamoError when there is none."""
        for process in processes_of(self.rig.home):
            if any(word.endswith("keeper.py") for word in command_line(process.pid)):
                return process.pid
        raise DynamoError("no log keeper runs")

    def is_whole(self, gone: Collection[int] = ()) -> bool:
        """Whether everything is READY, and no process is one of those that are `gone`."""
        status = self.status()
        ready = status.state == "READY" and all(service.ready for service in status.services)
        return ready and not {service.pid for service in status.services} & set(gone)

    def kill(self, services: Sequence[ServiceStatus]) -> set[int]:
        """-9, at once. Returns the pids."""
        pids = {service.pid for service in services if service.pid}
        self.frontend_kills += [time.perf_counter() for service in services if service.kind == "frontend"]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return pids

    def kill_supervisor(self) -> None:
        """-9. Nobody restarts anything any more, until `take_over`."""
        os.kill(self.supervisor_pid, signal.SIGKILL)

    def take_over(self) -> None:
        """As the next command of anybody does; DynamoError when no other supervisor comes."""
        self.rig.dynamo("status", NAME)
        self.supervisor_pid = self.status().supervisor_pid

    def left_behind(self) -> list[str]:
        """The last words of each process of it that still runs some seconds after its end."""
        deadline = time.monotonic() + GONE_S
        while (left := processes_of(self.rig.home)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return [" ".join(command_line(process.pid)[-4:]) for process in left]


def processes_of(home: Path) -> list[psutil.Process]:
    """Whatever carries this home in its environment, but not this process."""
    return [p for p in psutil.process_iter() if p.pid != os.getpid() and _home(p) == str(home)]


@contextmanager
def deployed(rig: Rig, sets: Sequence[str] = ()) -> Iterator[Deployment]:
    """It is taken down at the end, unless that was done; DynamoError when anything is left of it."""
    options = [word for value in (*SETTINGS, *sets) for word in ("--set", value)]
    try:
        up = rig.dynamo("up", "-d", str(TOPOLOGY), "--json", *options)
        yield Deployment(rig, msgspec.json.decode(up.stdout, type=DeploymentStatus))
    finally:
        rig.dynamo("down", "--all")
        for process in processes_of(rig.home):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _home(process: psutil.Process) -> str:
    try:
        return "" if process.status() == psutil.STATUS_ZOMBIE else process.environ().get("DYNAMO_HOME", "")
    except (psutil.Error, OSError):
        return ""

"""What the processes of a deployment hold, looked at again and again."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from dynamo_cli.bench.chaos.deployment import Deployment, processes_of
from dynamo_cli.bench.chaos.growth import Point
from dynamo_cli.bench.target import parse_url
from dynamo_cli.errors import DynamoError

EVERY_S = 2.0


class Sampler:
    """`points` grows with every look."""

    def __init__(self, target: Deployment) -> None:
        self.points: list[Point] = []
        self._target = target
        self._port = parse_url(target.url).port

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.points += await asyncio.to_thread(lambda: list(self._look(time.perf_counter())))
            await asyncio.sleep(EVERY_S)

    def _look(self, now: float) -> Iterator[Point]:
        try:
            roles = self._roles()
        except (DynamoError, psutil.Error):
            return
        for pid, role in roles.items():
            yield from _held(pid, role, now, self._port)
        yield Point(("deployment", "processes"), 0, now, len(processes_of(self._target.rig.home)))
        yield Point(("deployment", "files"), 0, now, _files(self._target.rig.home))

    def _roles(self) -> dict[int, str]:
        target = self._target
        own = {target.supervisor_pid: "supervisor", target.keeper_pid(): "log keeper"}
        return own | {service.pid: service.kind for service in target.status().services if service.pid}


def _files(home: Path) -> int:
    """Without the evidence of crashes, of which the last ten are kept."""
    return sum(len(files) for directory, _, files in os.walk(home) if "crashes" not in Path(directory).parts)


def _held(pid: int, role: str, now: float, port: int) -> Iterator[Point]:
    """Its descriptors without those of clients: how many connect to which frontend is theirs to choose."""
    try:
        process = psutil.Process(pid)
        yield Point((role, "memory MB"), pid, now, process.memory_info().rss / 1e6)
        clients = sum(bool(each.raddr) and each.laddr.port == port for each in process.net_connections("tcp"))
        yield Point((role, "descriptors"), pid, now, process.num_fds() - clients)
        yield Point((role, "threads"), pid, now, process.num_threads())
    except psutil.Error:  # it has just been killed
        return

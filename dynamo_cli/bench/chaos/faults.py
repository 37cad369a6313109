"""The rows of the table: each fault, how its deployment is prepared for it, and how it is done."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dynamo_cli.bench.chaos.clock import Clock
from dynamo_cli.bench.chaos.deployment import NAME, Deployment
from dynamo_cli.bench.chaos.small_disk import SmallDisk, small_disk
from dynamo_cli.bench.target import parse_url

HOLD_S = 5.0
"""How long a fault lasts that is lifted again."""
FULL_S = 20
"""Longer than the supervisor bears with a process that ends and ends again."""
FILES = 128
IDLE_CLIENTS = 200
HOUR_S = 3600
DISK_KIB = 1024


@dataclass(frozen=True)
class Ground:
    """What the deployment of a row runs on: `environ` and the command `before` its own, a disk, a clock."""

    environ: Mapping[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()
    disk: SmallDisk | None = None
    clock: Clock | None = None


Strike = Callable[[Deployment, Ground], Awaitable[set[int]]]
"""Does the fault, and lifts it if it is one that passes; returns the pids that have to be gone."""


class Fault(NamedTuple):
    name: str
    what: str
    strike: Strike
    ground: Callable[[Path], Any]


@contextmanager
def _plain(home: Path) -> Iterator[Ground]:
    yield Ground()


@contextmanager
def _small_logs(home: Path) -> Iterator[Ground]:
    with small_disk(home / NAME / "logs", DISK_KIB) as disk:
        yield Ground({"DYN_LOG": "debug"}, disk=disk)


@contextmanager
def _small_discovery(home: Path) -> Iterator[Ground]:
    with small_disk(home / NAME / "discovery", DISK_KIB) as disk:
        yield Ground(disk=disk)


@contextmanager
def _own_clock(home: Path) -> Iterator[Ground]:
    clock = Clock(home)
    yield Ground(clock.environ, clock=clock)


@contextmanager
def _few_files(home: Path) -> Iterator[Ground]:
    """Also for this process's children: a hard limit can be lowered only, so a shell does it for them alone."""
    yield Ground(before=("sh", "-c", f'ulimit -n {FILES} && exec "$@"', "sh"))


async def _kill_worker(target: Deployment, ground: Ground) -> set[int]:
    return target.kill(target.services("worker")[:1])


async def _kill_all_workers_but_one(target: Deployment, ground: Ground) -> set[int]:
    return target.kill(target.services("worker")[1:])


async def _kill_frontend(target: Deployment, ground: Ground) -> set[int]:
    return target.kill(target.services("frontend")[:1])


async def _kill_supervisor(target: Deployment, ground: Ground) -> set[int]:
    workers = target.services("worker")
    target.kill_supervisor()
    await asyncio.sleep(HOLD_S)
    gone = target.kill(workers[:1])
    await asyncio.sleep(HOLD_S)
    await asyncio.to_thread(target.take_over)
    return gone


async def _stop_worker(target: Deployment, ground: Ground) -> set[int]:
    pid = target.services("worker")[0].pid or 0
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(HOLD_S)
    finally:
        os.kill(pid, signal.SIGCONT)
    return set()


async def _hang_worker(target: Deployment, ground: Ground) -> set[int]:
    pid = target.services("worker")[0].pid or 0
    os.kill(pid, signal.SIGSTOP)
    return {pid}


async def _fill_disk(target: Deployment, ground: Ground) -> set[int]:
    assert ground.disk
    ground.disk.fill()
    gone = await _kill_worker(target, ground)
    for _ in range(FULL_S):
        await asyncio.sleep(1.0)
        ground.disk.fill()
    ground.disk.empty()
    return gone


async def _jump_clock(target: Deployment, ground: Ground) -> set[int]:
    assert ground.clock
    ground.clock.jump(HOUR_S)
    await asyncio.sleep(HOLD_S)
    ground.clock.jump(-HOUR_S)
    gone = await _kill_worker(target, ground)
    await asyncio.sleep(HOLD_S)
    return gone


async def _exhaust_files(target: Deployment, ground: Ground) -> set[int]:
    address = parse_url(target.url)
    _let_this_process_have(2 * IDLE_CLIENTS)
    opening = [asyncio.open_connection(address.host, address.port) for _ in range(IDLE_CLIENTS)]
    clients = [writer for _, writer in await asyncio.gather(*opening)]
    gone = await _kill_worker(target, ground)
    await asyncio.sleep(HOLD_S)
    for client in clients:
        client.close()
    return gone


def _let_this_process_have(files: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, hard), hard))


FAULTS = (
    Fault("worker-killed", "kill -9 of a worker", _kill_worker, _plain),
    Fault("workers-killed", "kill -9 of every worker but one", _kill_all_workers_but_one, _plain),
    Fault("frontend-killed", "kill -9 of one frontend of two", _kill_frontend, _plain),
    Fault(
        "supervisor-killed",
        f"kill -9 of the supervisor, {HOLD_S:g} s later of a worker, and {HOLD_S:g} s later `dynamo status`",
        _kill_supervisor,
        _plain,
    ),
    Fault("worker-stopped", f"SIGSTOP of a worker, SIGCONT {HOLD_S:g} s later", _stop_worker, _plain),
    Fault("worker-hung", "SIGSTOP of a worker for good", _hang_worker, _plain),
    Fault("logs-full", f"the disk of the logs full for {FULL_S} s, kill -9 of a worker", _fill_disk, _small_logs),
    Fault(
        "discovery-full",
        f"the disk of discovery full for {FULL_S} s, kill -9 of a worker",
        _fill_disk,
        _small_discovery,
    ),
    Fault(
        "clock-jumped", "the wall clock an hour ahead, then one behind, kill -9 of a worker", _jump_clock, _own_clock
    ),
    Fault(
        "few-files",
        f"RLIMIT_NOFILE {FILES}, {IDLE_CLIENTS} idle clients for {HOLD_S:g} s, kill -9 of a worker",
        _exhaust_files,
        _few_files,
    ),
)

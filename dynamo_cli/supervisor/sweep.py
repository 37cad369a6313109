"""Ending whatever a process left behind: its group, its session, and everything that carries our marks."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Collection

from dynamo_cli.supervisor.processes import Entry, ProcessId, alive, children_of, entry, find, send

logger = logging.getLogger(__name__)

QUIET_PASSES = 2
"""A process that is being forked while we look is seen by the next pass."""
PASS_S = 0.01
PATIENCE_S = 10.0
"""A process stuck in the kernel cannot be ended; we say so and go on."""


def marks(deployment_id: str, service: str = "") -> tuple[bytes, ...]:
    """What the environment of our processes holds; of all of them, or of one service."""
    own = (f"DYNAMO_DEPLOYMENT_ID={deployment_id}".encode(),)
    return (*own, f"DYNAMO_SERVICE={service}".encode()) if service else own


async def sweep(leaders: Collection[ProcessId], wanted: Collection[bytes]) -> int:
    """KILL until nothing is left; returns how many were killed."""
    killed: set[ProcessId] = set()
    quiet, deadline = 0, time.monotonic() + PATIENCE_S
    while quiet < QUIET_PASSES:
        left = find(leaders, wanted)
        _kill(left, killed)
        quiet = 0 if left else quiet + 1
        if time.monotonic() > deadline:
            logger.warning("cannot end %s", ", ".join(str(e.pid) for e in left))
            break
        await asyncio.sleep(PASS_S)
    return len(killed)


async def end_each(wanted: Collection[ProcessId]) -> None:
    """KILL these processes and return when they are gone."""
    deadline = time.monotonic() + PATIENCE_S
    while (left := [process for process in wanted if alive(process)]) and time.monotonic() < deadline:
        for process in left:
            send(process, signal.SIGKILL)
        await asyncio.sleep(PASS_S)


def _kill(left: list[Entry], killed: set[ProcessId]) -> None:
    for found in left:
        send(found.id, signal.SIGKILL)
        killed.add(found.id)


def children() -> list[int]:
    """The pids of this process's children, adopted ones too; empty where the kernel does not tell."""
    return children_of(os.getpid()) or []


def reap_adopted(own: Collection[int]) -> list[int]:
    """Collect the dead among children that we did not start; returns the living ones."""
    living = []
    for pid in children():
        if pid in own:
            continue
        found = entry(pid)
        if found is None or not found.zombie:
            living.append(pid)
            continue
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue
    return living


async def end_adopted(own: Collection[int]) -> None:
    """KILL every child that we did not start, and the orphans that these leave to us."""
    deadline = time.monotonic() + PATIENCE_S
    while (living := reap_adopted(own)) and time.monotonic() < deadline:
        for pid in living:
            found = entry(pid)
            if found:
                send(found.id, signal.SIGKILL)
        await asyncio.sleep(PASS_S)

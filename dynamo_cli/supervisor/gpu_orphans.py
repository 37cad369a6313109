"""Processes of deployments that have ended, which still hold GPU memory: ours beyond doubt, or left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from dynamo_cli.gpus.asking import read_gpus
from dynamo_cli.gpus.gpu import GpuInventory
from dynamo_cli.runtime.paths import dynamo_home
from dynamo_cli.supervisor.deployments import Deployment, known
from dynamo_cli.supervisor.processes import Entry, entry, environment, find
from dynamo_cli.supervisor.sweep import end_each, marks

Say = Callable[[str], None]


def gpus_without_orphans(say: Say) -> GpuInventory:
    """The GPUs of this machine once the orphans on them have been ended."""
    found = read_gpus()
    orphans = list(orphans_among({holder.pid for gpu in found.gpus for holder in gpu.holders}))
    if not orphans:
        return found
    for orphan in orphans:
        say(f"ended pid {orphan.pid}, which a deployment that is no more left on a GPU")
    asyncio.run(end_each([orphan.id for orphan in orphans]))
    return read_gpus()


def orphans_among(pids: Collection[int], home: Path | None = None) -> Iterator[Entry]:
    """Those that a deployment of this home has left and no running deployment has.

    A process is ours when its environment says so, with this home and a deployment's id; or when it is in the group or
    session of a process that we started, by pid and start time, in a deployment that has ended.
    """
    if not pids:
        return
    home = home or dynamo_home()
    deployments = known(home)
    living = {d.record.deployment_id for d in deployments if d.running}
    families = {one.id for d in deployments if not d.running and d.record.this_boot for one in _family(d)}
    for pid in pids:
        found = entry(pid)
        if found is None or found.zombie:
            continue
        variables = environment(pid).split(b"\0")
        ids = {one.partition(b"=")[2].decode() for one in variables if one.startswith(b"DYNAMO_DEPLOYMENT_ID=")}
        marked = bool(ids) and f"DYNAMO_HOME={home}".encode() in variables
        if not ids & living and (marked or found.id in families):
            yield found


def held_for_restart(name: str, pids: Collection[int]) -> frozenset[int]:
    """Those of `pids` that a dead supervisor of this deployment left: the next `up` of it ends them first."""
    mine = next((d for d in known() if d.name == name), None)
    left = mine.leftovers() if mine else []
    return frozenset(found.pid for found in left) & frozenset(pids)


def _family(deployment: Deployment) -> list[Entry]:
    record = deployment.record
    return find(list(record.processes.values()), marks(record.deployment_id))

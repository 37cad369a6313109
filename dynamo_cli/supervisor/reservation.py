"""So that two deployments that start at the same moment are never given the same port or GPU."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from dynamo_cli.errors import ResourceMissing
from dynamo_cli.runtime.paths import dynamo_home
from dynamo_cli.supervisor.deployments import running
from dynamo_cli.supervisor.record import read_plan
from dynamo_cli.topology.inventory import Held


@contextmanager
def reservation() -> Iterator[None]:
    """One at a time looks at what others hold, plans, and writes its plan down. ResourceMissing without a home."""
    home = dynamo_home()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(home / "reservation.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ResourceMissing(f"cannot write {home}: {error.strerror}; set DYNAMO_HOME to another place") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def held_by_others(name: str) -> Held:
    """The ports and GPUs in the plans of all running deployments but `name`."""
    ports: set[int] = set()
    gpus: dict[str, str] = {}
    for deployment in running():
        plan = read_plan(deployment.paths) if deployment.name != name else None
        for process in plan.processes if plan else ():
            ports.update(process.ports.values())
            gpus.update({gpu.uuid: deployment.name for gpu in process.gpus})
    return Held(frozenset(ports), gpus)

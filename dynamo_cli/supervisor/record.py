"""A deployment's state on disk: which processes are ours, who supervises them, and the lock of the name."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from pathlib import Path
from typing import Literal

import msgspec

from dynamo_cli.errors import ResourceMissing, UsageError
from dynamo_cli.runtime.control import DeploymentState
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.processes import ProcessId, alive, boot_id
from dynamo_cli.topology.process import Plan

LOCK_AGAIN_S = 0.01


class Past(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the next supervisor of a service must know of it besides its process.

    `state`: FAILED or STOPPED when it is at rest, DRAINING when it was told to rest, else "". `ready`: since when its
    incarnation has served, seconds since the epoch, 0 when it has not. The rest is as in ServiceStatus.
    """

    state: Literal["FAILED", "STOPPED", "DRAINING", ""] = ""
    reason: str = ""
    ready: float = 0.0
    restarts: int = 0
    last_exit: str = ""
    exit_code: int | None = None
    by_hand: bool = False
    done: bool = False


class Record(msgspec.Struct, kw_only=True):
    """`state.json`. `processes`: the last incarnation of each service. `started` is seconds since the epoch."""

    deployment: str
    deployment_id: str
    supervisor: ProcessId
    boot: str = msgspec.field(default_factory=boot_id)
    detached: bool = False
    topology: str = ""
    url: str = ""
    port: int = 0
    started: float = 0.0
    state: DeploymentState = "STARTING"
    reason: str = ""
    processes: dict[str, ProcessId] = {}
    services: dict[str, Past] = {}

    @property
    def this_boot(self) -> bool:
        return self.boot == boot_id()

    @property
    def supervised(self) -> bool:
        """Whether the supervisor that wrote this is still there."""
        return self.this_boot and self.state != "STOPPED" and alive(self.supervisor)


def write(path: Path, value: object) -> None:
    """Replace the file by this value as JSON, at once or not at all; only its owner may read it.

    ResourceMissing when the disk refuses.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(value))
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise ResourceMissing(f"cannot write {path}: {error.strerror}") from None


def remove_drafts(paths: DeploymentPaths) -> None:
    """What writers left that were killed as they wrote. Only who holds the lock may."""
    for file in (paths.state, paths.plan):
        for draft in file.parent.glob(f".{file.name}.*"):
            with contextlib.suppress(OSError):
                draft.unlink()


def read_record(paths: DeploymentPaths) -> Record | None:
    """What was last written, None when there is nothing readable."""
    try:
        return msgspec.json.decode(paths.state.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None


def read_plan(paths: DeploymentPaths) -> Plan | None:
    """The plan of the last `up`, None when there is none."""
    try:
        return msgspec.json.decode(paths.plan.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError):
        return None


def read_wanted(encoded: bytes) -> Plan:
    """A plan that somebody hands over. UsageError when it is none."""
    try:
        return msgspec.json.decode(encoded, type=Plan)
    except (msgspec.DecodeError, ValueError) as error:
        raise UsageError(f"the plan cannot be read: {error}; is this the version of dynamo that runs it?") from None


def plan_digest(plan: Plan) -> str:
    """Tells plans apart."""
    return hashlib.sha256(msgspec.json.encode(plan)).hexdigest()


def take_lock(paths: DeploymentPaths, patience_s: float = 0.0) -> int | None:
    """A descriptor that holds the deployment's name until all its copies are closed; None when another one has it.

    ResourceMissing when the disk refuses.
    """
    try:
        handle = os.open(paths.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ResourceMissing(f"cannot write {error.filename}: {error.strerror}") from None
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(handle)
                return None
        time.sleep(LOCK_AGAIN_S)


def is_locked(paths: DeploymentPaths) -> bool:
    """Whether somebody starts, takes over or supervises it."""
    try:
        handle = take_lock(paths)
    except ResourceMissing:
        return False
    if handle is not None:
        os.close(handle)
    return handle is None

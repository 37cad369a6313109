"""A deployment's record when its file cannot be read: from the marks of its processes and from its control socket."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections import Counter
from pathlib import Path

from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.processes import Entry, ProcessId, age_s, environment, identify, table
from dynamo_cli.supervisor.record import Record

NOBODY = ProcessId(0, 0)
CREDENTIALS = struct.Struct("3i")
ASK_S = 1.0


def recovered(paths: DeploymentPaths) -> Record | None:
    """None when there is no file: then there is no deployment. What cannot be seen (its topology) stays empty."""
    if not paths.state.exists():
        return None
    found = _marked(paths)
    counts = Counter(id_ for _, id_, _ in found)
    id_ = counts.most_common(1)[0][0] if counts else ""
    leaders = _leaders([(entry, service) for entry, own, service in found if own == id_])
    supervisor = _supervisor(paths)
    oldest = max((age_s(process) for process in leaders.values()), default=0.0)
    return Record(
        deployment=paths.deployment,
        deployment_id=id_,
        supervisor=supervisor,
        detached=supervisor == NOBODY,  # or nothing would have outlived it
        started=time.time() - oldest,
        state="DEGRADED" if leaders or supervisor != NOBODY else "STOPPED",
        reason=f"{paths.state} cannot be read",
        processes=leaders,
    )


def _leaders(family: list[tuple[Entry, str]]) -> dict[str, ProcessId]:
    """Of each service the process that the supervisor started: no child of another of them, and the oldest."""
    pids = {entry.pid for entry, _ in family}
    first = [
        (entry.id, service) for entry, service in family if entry.session == entry.pid and entry.parent not in pids
    ]
    return {service: process for process, service in sorted(first, key=lambda each: -each[0].start)}


def control_socket(paths: DeploymentPaths) -> Path:
    """In the directory its supervisor made, which another XDG_RUNTIME_DIR than ours may hold."""
    run = paths.root / "run"
    return run.readlink() / paths.control_socket.name if run.is_symlink() else paths.control_socket


def _marked(paths: DeploymentPaths) -> list[tuple[Entry, str, str]]:
    """(process, id of its deployment, service) of what carries the name of this deployment of this home."""
    found = []
    for entry in table():
        words = (os.fsdecode(word).partition("=") for word in environment(entry.pid).split(b"\0"))
        variables = {name: value for name, _, value in words if name.startswith("DYNAMO_")}
        ours = (variables.get("DYNAMO_HOME"), variables.get("DYNAMO_DEPLOYMENT")) == (
            str(paths.root.parent),
            paths.deployment,
        )
        if ours and not entry.zombie and "DYNAMO_DEPLOYMENT_ID" in variables:
            found.append((entry, variables["DYNAMO_DEPLOYMENT_ID"], variables.get("DYNAMO_SERVICE", "")))
    return found


def _supervisor(paths: DeploymentPaths) -> ProcessId:
    """Who listens on the control socket, as the kernel tells."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ASK_S)
        try:
            client.connect(str(control_socket(paths)))
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        except (OSError, AttributeError):
            return NOBODY
    return identify(CREDENTIALS.unpack(credentials)[0]) or NOBODY

"""Deployments that run, and what is left of those that do not: states, processes, sockets, logs."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.doctor.check import GIB, Check, Question, counted, error, ok, size, warn
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.errors import NotReady
from dynamo_cli.runtime.paths import DeploymentPaths, dynamo_home, is_deployment_name, socket_base
from dynamo_cli.supervisor.deployments import Deployment, known, status_of
from dynamo_cli.supervisor.processes import environment, table
from dynamo_cli.supervisor.record import read_record
from dynamo_cli.supervisor.takeover import why_not

MUCH_LOG = GIB
ASK_S = 1.0


class Life(NamedTuple):
    """`state` and `reason` as its supervisor tells them; `supervised` when there is one; `left`: what runs without.

    `goes_on`: the next command about it gives it another one.
    """

    name: str
    state: str
    supervised: bool
    reason: str = ""
    url: str = ""
    left: int = 0
    goes_on: bool = False


def questions(machine: Machine) -> Iterator[Question]:
    yield Question("deployments", lambda: deployments_checks([read_life(each) for each in known()]))
    yield Question("records", lambda: records_check(unreadable_records(dynamo_home())))
    yield Question("leftover-processes", lambda: orphans_check(read_orphans(known(), dynamo_home())))
    yield Question("leftover-sockets", lambda: sockets_check(dead_socket_directories(socket_base())))
    yield Question("logs", lambda: logs_check(log_sizes(dynamo_home())))


def deployments_checks(lives: Sequence[Life]) -> Iterable[Check]:
    living = [life_check(each) for each in lives if each.supervised or each.state != "STOPPED"]
    return living or [ok("deployments", "none is running")]


def life_check(life: Life) -> Check:
    name = f"deployment-{life.name}"
    if not life.supervised:
        left = f"; {counted(life.left, 'process')} of it still run" if life.left else "; nothing of it runs"
        words = f"recorded as {life.state}, but its supervisor is dead{left}"
        again = f"dynamo status {life.name} gives it another one; " if life.goes_on else ""
        return warn(name, words, f"{again}dynamo down {life.name}{' ends it' if again else ''}")
    words = ", ".join(filter(None, (life.state, life.url, life.reason)))
    if life.state == "FAILED":
        return error(name, words, f"dynamo logs -d {life.name} says why; dynamo down {life.name} stops it")
    if life.state in ("READY", "STARTING", "STOPPING"):
        return ok(name, words)
    return warn(name, words, f"dynamo status {life.name}")


def records_check(unreadable: Sequence[Path]) -> Check:
    if not unreadable:
        return ok("records", "all can be read")
    words = ", ".join(map(str, unreadable))
    return warn("records", f"cannot be read: {words}", f"rm {unreadable[0]}")


def orphans_check(orphans: Mapping[str, Sequence[int]]) -> Check:
    """`orphans`: pids by the name of the deployment they were started for."""
    name = "leftover-processes"
    if not orphans:
        return ok(name, "none")
    words = "; ".join(f"{each}: pid {', '.join(map(str, pids))}" for each, pids in orphans.items())
    everyone = " ".join(str(pid) for pids in orphans.values() for pid in pids)
    return warn(name, f"of deployments that do not run: {words}", f"kill {everyone}")


def sockets_check(directories: Sequence[Path]) -> Check:
    name = "leftover-sockets"
    if not directories:
        return ok(name, "none")
    words = ", ".join(map(str, directories))
    return warn(name, f"nobody listens in {words}", f"rm -r {' '.join(map(str, directories))}")


def logs_check(sizes: Mapping[str, int]) -> Check:
    total = sum(sizes.values())
    if total <= MUCH_LOG:
        return ok("logs", size(total))
    most = max(sizes, key=lambda name: sizes[name])
    folder = dynamo_home() / most / "logs" / "previous"
    return warn("logs", f"{size(total)}, {size(sizes[most])} of them of {most}", f"rm -r {folder}")


def read_life(deployment: Deployment) -> Life:
    record = deployment.record
    if not record.supervised:
        left = len(deployment.leftovers()) if record.state != "STOPPED" else 0
        return Life(record.deployment, record.state, False, left=left, goes_on=not why_not(deployment))
    try:
        status = status_of(deployment)
    except NotReady:  # it has ended meanwhile
        return Life(record.deployment, "STOPPED", False)
    return Life(record.deployment, status.state, True, status.reason, status.url)


def unreadable_records(home: Path) -> list[Path]:
    records = (file for file in home.glob("*/state.json") if is_deployment_name(file.parent.name))
    return sorted(file for file in records if read_record(DeploymentPaths(file.parent.name, home)) is None)


def read_orphans(deployments: Collection[Deployment], home: Path) -> dict[str, list[int]]:
    """Pids that carry the id of a deployment of this home which nobody supervises and `dynamo down` would not end."""
    cared_for = {each.record.deployment_id for each in deployments if each.record.state != "STOPPED"}
    found: dict[str, list[int]] = {}
    for process in table():
        words = environment(process.pid).split(b"\0")
        mine = dict(word.decode(errors="replace").split("=", 1) for word in words if word.startswith(b"DYNAMO_"))
        id_ = mine.get("DYNAMO_DEPLOYMENT_ID") if mine.get("DYNAMO_HOME") == str(home) else None
        if id_ and id_ not in cared_for and not process.zombie:
            found.setdefault(mine.get("DYNAMO_DEPLOYMENT", "?"), []).append(process.pid)
    return found


def dead_socket_directories(base: Path) -> list[Path]:
    """Those of this user in which sockets lie and nobody listens on any."""
    mine = (path for path in base.glob(f"dynamo-{os.getuid()}-*") if path.is_dir() and not path.is_symlink())
    return sorted(path for path in mine if (found := _sockets(path)) and not any(map(_listens, found)))


def _sockets(directory: Path) -> list[Path]:
    return [path for path in directory.glob("*") if (facts := _facts(path)) and stat.S_ISSOCK(facts.st_mode)]


def _facts(path: Path) -> os.stat_result | None:
    """None for what has gone since it was listed."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ASK_S)
        try:
            client.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def log_sizes(home: Path) -> dict[str, int]:
    """Bytes on the disk of each deployment's logs."""
    sizes: dict[str, int] = {}
    for file in home.glob("*/logs/**/*"):
        facts = _facts(file)
        if facts and stat.S_ISREG(facts.st_mode):
            name = file.relative_to(home).parts[0]
            sizes[name] = sizes.get(name, 0) + facts.st_blocks * 512
    return sizes

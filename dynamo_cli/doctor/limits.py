"""What the shell or the container that started us limits: files, processes, locked memory, core files."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.doctor.check import Check, Question, error, ok, size, warn
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.runtime.cgroup import group_files

FILES_WANTED, FILES_NEEDED = 4096, 256
"""A frontend holds a descriptor per client, and one per worker."""
PROCESSES_WANTED = 1024
"""Threads count: an engine starts some per core."""
UNLIMITED = -1


class Limit(NamedTuple):
    """UNLIMITED for none."""

    soft: int
    hard: int

    @property
    def words(self) -> str:
        return "unlimited" if self.soft == UNLIMITED else str(self.soft)


class Tasks(NamedTuple):
    """Processes and threads a control group may have, and has."""

    limit: int
    used: int


def questions(machine: Machine) -> Iterator[Question]:
    yield Question("open-files", lambda: files_check(read_limit(resource.RLIMIT_NOFILE)))
    if hasattr(resource, "RLIMIT_NPROC"):
        yield Question("processes", lambda: processes_check(read_limit(resource.RLIMIT_NPROC), os.getuid() == 0))
    if hasattr(resource, "RLIMIT_MEMLOCK"):
        yield Question("locked-memory", lambda: locked_check(read_limit(resource.RLIMIT_MEMLOCK), rdma_devices()))
    yield Question("core-files", lambda: core_check(read_limit(resource.RLIMIT_CORE)))
    yield Question("cgroup-processes", lambda: tasks_check(read_tasks()))


def files_check(limit: Limit) -> Check:
    name, words = "open-files", f"{limit.words} (hard limit {Limit(limit.hard, limit.hard).words})"
    if limit.soft == UNLIMITED or limit.soft >= FILES_WANTED:
        return ok(name, words)
    raisable = limit.hard == UNLIMITED or limit.hard >= FILES_WANTED
    wanted = 65536 if limit.hard == UNLIMITED else min(limit.hard, 65536)
    fix = f"ulimit -n {wanted}" if raisable else "raise nofile in /etc/security/limits.conf, or docker run --ulimit"
    few = f"{words}: one client of a frontend takes one"
    return (error if limit.soft < FILES_NEEDED else warn)(name, few, fix)


def processes_check(limit: Limit, root: bool) -> Check:
    if root or limit.soft == UNLIMITED or limit.soft >= PROCESSES_WANTED:
        return ok("processes", f"{limit.words}{' (not for root)' if root and limit.soft != UNLIMITED else ''}")
    return warn("processes", f"{limit.words} for all threads of this user: engines may not start", "ulimit -u 4096")


def locked_check(limit: Limit, rdma: list[str]) -> Check:
    words = "unlimited" if limit.soft == UNLIMITED else size(limit.soft)
    if limit.soft == UNLIMITED or not rdma:
        return ok("locked-memory", words if limit.soft == UNLIMITED else f"{words}; matters for RDMA only")
    why = f"{words}: transfers over {', '.join(rdma)} need to lock memory"
    return warn("locked-memory", why, "ulimit -l unlimited, or docker run --ulimit memlock=-1")


def core_check(limit: Limit) -> Check:
    if limit.soft == 0:
        return ok("core-files", "none are written")
    return ok("core-files", f"a crash writes one, {'of any size' if limit.soft == UNLIMITED else size(limit.soft)}")


def tasks_check(tasks: Tasks | None) -> Check:
    if tasks is None:
        return ok("cgroup-processes", "unlimited")
    words = f"{tasks.used} of {tasks.limit} processes and threads"
    if tasks.limit - tasks.used >= PROCESSES_WANTED // 4:
        return ok("cgroup-processes", words)
    return warn("cgroup-processes", f"{words}: engines may not start", "docker run --pids-limit 4096")


def read_limit(which: int) -> Limit:
    soft, hard = (UNLIMITED if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(which))
    return Limit(soft, hard)


def rdma_devices(root: Path = Path("/")) -> list[str]:
    try:
        return sorted(os.listdir(root / "sys/class/infiniband"))
    except OSError:
        return []


def read_tasks(root: Path = Path("/")) -> Tasks | None:
    """Of the control group around us that has the least room."""
    found = []
    for file in group_files(root, "pids", "pids.max", "pids.max"):
        word = file.read_text().strip()
        if word.isdecimal():
            found.append(Tasks(int(word), int(file.with_name("pids.current").read_text())))
    return min(found, default=None, key=lambda tasks: tasks.limit - tasks.used)

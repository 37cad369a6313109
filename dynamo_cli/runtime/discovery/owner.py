"""Which process owns a key, and whether that process is known to be dead."""

from __future__ import annotations

import os
import sys
from functools import cache

import msgspec


class Owner(msgspec.Struct, frozen=True, array_like=True):
    """`host` names the boot and pid namespace in which `pid` and `started` mean something."""

    host: str
    pid: int
    started: str


@cache
def _this_host() -> str:
    if sys.platform == "linux":
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}/{os.stat('/proc/self/ns/pid').st_ino}"
    import uuid

    import psutil

    return f"{uuid.getnode():x}/{psutil.boot_time():.0f}"


def _started(pid: int) -> str:
    """When the process started, in its system's own terms; "" when there is no such living process."""
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                # The command name in parentheses may hold anything; state is field 3, start time field 22.
                fields = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
    import psutil

    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""


def this_process() -> Owner:
    pid = os.getpid()
    return Owner(_this_host(), pid, _started(pid))


def is_dead(owner: Owner) -> bool:
    """True only when certain: an owner on another host is never known to be dead."""
    if owner.host != _this_host():
        return False
    try:
        return _started(owner.pid) != owner.started
    except OSError:
        return False

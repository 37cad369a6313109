"""How many files and connections this process may have open."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress

RESERVED = 64
"""Left for everything that is no client: discovery, workers, admin sockets, logs."""


def allow_many_files() -> None:
    """Raise this process's limit of open files to what it may have: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def most_connections() -> int:
    """How many the limit of open files leaves room for."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(files - RESERVED, files // 2)

"""How much memory a process and its descendants hold."""

from __future__ import annotations

import psutil


def tree_memory(pid: int) -> int:
    """Resident bytes; pages that several of them share count once for each. 0 for a process that is gone."""
    try:
        root = psutil.Process(pid)
        return sum(_resident(process) for process in [root, *root.children(recursive=True)])
    except psutil.Error:
        return 0


def available_memory() -> int:
    """Bytes that this machine can give to processes without swapping."""
    return int(psutil.virtual_memory().available)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0

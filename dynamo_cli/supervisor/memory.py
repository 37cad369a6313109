"""How much memory a process and its descendants hold."""

from __future__ import annotations

import psutil

from dynamo_cli.supervisor.processes import children_of


def tree(pid: int) -> list[psutil.Process]:
    """The process and its descendants, none when it is gone."""
    try:
        root = psutil.Process(pid)
        found = _descendants(pid)
        return [root, *root.children(recursive=True)] if found is None else [root, *found]
    except psutil.Error:
        return []


def tree_memory(pid: int) -> int:
    """Resident bytes; pages that several of them share count once for each. 0 for a process that is gone."""
    return sum(map(_resident, tree(pid)))


def available_memory() -> int:
    """Bytes that this machine can give to processes without swapping."""
    return int(psutil.virtual_memory().available)


def _descendants(pid: int) -> list[psutil.Process] | None:
    """By what the kernel says of each, which does not grow with all that runs on this machine; None if it does not."""
    waiting, found = [pid], []
    while waiting:
        children = children_of(waiting.pop())
        if children is None:
            return None
        for child in children:
            waiting.append(child)
            try:
                found.append(psutil.Process(child))
            except psutil.NoSuchProcess:
                continue
    return found


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0

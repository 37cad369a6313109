"""A directory of one engine's own, for its sockets and files."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_SOCKET_PATH_LIMIT = 100
_RANDOM_BYTES = 8
"""Of the names that mkdtemp makes."""


class PrivateDirectory:
    """A fresh directory of mode 0700 in `wanted`, or in a temporary one where that makes a socket's path too long.

    It is locked until `remove`, or until this process ends. Those that a killed process left are removed by the next
    one that makes its own beside them.

    `room`: bytes of the longest name in it.
    """

    def __init__(self, wanted: str, engine: str, room: int = 20) -> None:
        prefix = f"dyn-{engine}-"
        most = _SOCKET_PATH_LIMIT - room - len(prefix) - _RANDOM_BYTES - len("//")
        bases = (base for base in (wanted, tempfile.gettempdir()) if base and len(os.fsencode(base)) <= most)
        base = next(bases, "/tmp")
        for left in Path(base).glob(f"{prefix}*"):
            _remove_if_left(left)
        while not self._is_made(tempfile.mkdtemp(prefix=prefix, dir=base)):
            continue

    def _is_made(self, path: str) -> bool:
        """Not when another process took it for one that was left, before the lock was here."""
        self.path = path
        self._lock = _locked(path, wait=True)
        return self._lock is not None

    def remove(self) -> None:
        """With all that is in it. Idempotent."""
        lock, self._lock = self._lock, None
        if lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(lock)


def _remove_if_left(directory: Path) -> None:
    with suppress(OSError):
        lock = _locked(str(directory), wait=False)
        if lock is not None:
            shutil.rmtree(directory, ignore_errors=True)
            os.close(lock)


def _locked(path: str, *, wait: bool) -> int | None:
    """A descriptor that holds the lock of the directory at `path`; None when somebody else does, or it is gone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.path.exists(path):
            return handle
    except BlockingIOError:
        pass
    os.close(handle)
    return None

"""Handing a listening socket from one process to another of the same deployment, through its private directory."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GREETING = b"listener"
WAIT_S = 1.0


def give(path: Path, listener: socket.socket) -> None:
    """Send it to who waits at `path`. OSError when nobody does."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(WAIT_S)
        client.connect(str(path))
        socket.send_fds(client, [GREETING], [listener.fileno()])


class Handover:
    """The waiting side."""

    def __init__(self, door: socket.socket) -> None:
        self._door = door

    def received(self) -> socket.socket | None:
        """What was handed over, None when it was nothing. OSError when nobody came in time."""
        giver, _ = self._door.accept()
        with giver:
            giver.settimeout(WAIT_S)
            _, descriptors, _, _ = socket.recv_fds(giver, len(GREETING), 1)
        if not descriptors:
            return None
        os.set_inheritable(descriptors[0], False)
        return socket.socket(fileno=descriptors[0])


@contextmanager
def awaited(path: Path) -> Iterator[Handover]:
    """Wait at `path` (0600) until the block ends. OSError when that cannot be."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as door:
        mask = os.umask(0o177)
        try:
            door.bind(str(path))
        finally:
            os.umask(mask)
        door.listen(1)
        door.settimeout(WAIT_S)
        try:
            yield Handover(door)
        finally:
            with contextlib.suppress(OSError):
                path.unlink()

"""A directory of one engine's own, for its sockets."""

from __future__ import annotations

import os
import tempfile

_SOCKET_PATH_LIMIT = 100


def private_directory(wanted: str, engine: str, room: int = 20) -> str:
    """A fresh directory of mode 0700 in `wanted`, or in /tmp where that makes a socket's path too long.

    `room`: bytes of the longest name in it.
    """
    base = wanted if wanted and len(os.fsencode(wanted)) + room + 20 <= _SOCKET_PATH_LIMIT else None
    directory = tempfile.mkdtemp(prefix=f"{engine}-", dir=base)
    if len(os.fsencode(directory)) + room > _SOCKET_PATH_LIMIT:
        os.rmdir(directory)
        directory = tempfile.mkdtemp(prefix=f"dynamo-{engine}-", dir="/tmp")
    return directory

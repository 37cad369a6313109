"""Ports that nobody uses."""

from __future__ import annotations

import socket
from collections.abc import Iterator


def free_ports(host: str = "127.0.0.1") -> Iterator[int]:
    """Ports nobody listens on now, none twice; the sockets that hold them are closed before each is told."""
    told: set[int] = set()
    while True:
        with socket.socket() as probe:
            probe.bind((host, 0))
            port = int(probe.getsockname()[1])
        if port not in told:
            told.add(port)
            yield port

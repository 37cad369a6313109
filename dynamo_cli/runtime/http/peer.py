"""What the kernel knows of the other end of a connection."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct

_HUNG_UP = select.POLLHUP | select.POLLERR
_ACKNOWLEDGED = struct.Struct("=120xQ")
"""tcpi_bytes_acked in Linux's struct tcp_info, which counts for the whole life of a connection."""


def peer_uid(peer: socket.socket) -> int:
    """The user at the other end of a unix socket; ours where the kernel does not tell: the directory is private."""
    if not hasattr(socket, "SO_PEERCRED"):
        return os.getuid()
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid


def gone(transport: asyncio.BaseTransport) -> bool:
    """Whether it is closed in both directions, not only in the one towards us."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), 0)
    return any(event & _HUNG_UP for _, event in poll.poll(0))


def reset(transport: asyncio.WriteTransport) -> None:
    """Drop the connection and what the kernel still holds for a peer that does not take it."""
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Progress:
    """How long a peer has taken nothing of what was written to it."""

    def __init__(self) -> None:
        self._taken: int | None = None
        self._moved_at = 0.0

    def still_s(self, transport: asyncio.WriteTransport, now: float) -> float:
        """Seconds since it was first seen to stand still; `now` is of time.monotonic."""
        taken = _taken(transport)
        if taken != self._taken:
            self._taken, self._moved_at = taken, now
        return now - self._moved_at

    def forget(self) -> None:
        """It has taken everything."""
        self._taken = None


def _taken(transport: asyncio.WriteTransport) -> int:
    """A number that changes with every byte taken: what is acknowledged, else what has not left."""
    connection = transport.get_extra_info("socket")
    if connection.family != socket.AF_UNIX and hasattr(socket, "TCP_INFO"):
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED.size)
        if len(info) == _ACKNOWLEDGED.size:
            return int(_ACKNOWLEDGED.unpack(info)[0])
    return transport.get_write_buffer_size()

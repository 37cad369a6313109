"""Accepting connections, sharing one listening socket fairly with other processes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import time
from collections.abc import Callable
from typing import NamedTuple

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.runtime.http.envelope import error_body

log = logging.getLogger(__name__)

STAND_BACK_S = 0.001
BATCH = 4
FULL_PAUSE_S = 0.1
COMPLAIN_EVERY_S = 60.0
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds, seconds, and probes: a client whose machine went away is noticed within two minutes."""
_NO_TLS = error_body(InvalidRequest("this port speaks TLS; use https"))
NO_TLS = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
    % (len(_NO_TLS), _NO_TLS)
)


class Handshake(NamedTuple):
    """TLS, and the seconds it has to come about."""

    context: ssl.SSLContext
    timeout_s: float


class Acceptor:
    """Takes one connection each time the socket is ready, so that a burst spreads over the processes.

    The kernel tends to wake the same process first, which would then serve everything. So who has just taken a
    connection owes its rivals one turn each: it stands back for a moment and takes the next one only if it is still
    there. `room` is how many more connections there may be now: without any, they wait in the kernel.
    """

    def __init__(
        self,
        listener: socket.socket,
        factory: Callable[[], asyncio.Protocol],
        rivals: Callable[[], int],
        room: Callable[[], int],
        handshake: Handshake | None = None,
    ) -> None:
        self._listener = listener
        self._factory = factory
        self._rivals = rivals
        self._room = room
        self._handshake = handshake
        self._complained_at = -COMPLAIN_EVERY_S
        self._owed = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._closed = False
        listener.setblocking(False)
        _keep_alive(listener)
        self._loop.add_reader(listener.fileno(), self._ready)

    def close(self) -> None:
        """Stop accepting; closes this process's descriptor of the socket."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    def _ready(self) -> None:
        if self._owed:
            self._wait(STAND_BACK_S * self._owed, self._take_left)
        elif self._accept():
            self._owed = self._rivals()

    def _take_left(self) -> None:
        """The rivals had their chance: what is still here, they are too busy for."""
        taken = 0
        while taken < BATCH and self._accept():
            taken += 1
        self._owed = self._rivals() if taken else self._owed - 1

    def _wait(self, delay_s: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._timer = self._loop.call_later(delay_s, self._resume, then)

    def _resume(self, then: Callable[[], None]) -> None:
        self._timer = None
        then()
        if not self._closed and self._timer is None:
            self._loop.add_reader(self._listener.fileno(), self._ready)

    def _accept(self) -> bool:
        if self._room() <= len(self._tasks):
            self._pause("as many as may be are open")
            return False
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            self._pause(str(error.strerror))
            return False
        connection.setblocking(False)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._secure(connection) if self._handshake else self._connect(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _pause(self, why: str) -> None:
        """Connections wait in the kernel, or are taken by others, until there is room."""
        now = time.monotonic()
        if now - self._complained_at >= COMPLAIN_EVERY_S:
            self._complained_at = now
            log.error("cannot accept more connections for now: %s", why)
        self._wait(FULL_PAUSE_S, lambda: None)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, connection)
        except OSError:
            connection.close()

    async def _secure(self, connection: socket.socket) -> None:
        """A client that speaks plain HTTP is told so, on a descriptor that outlives the failed handshake."""
        assert self._handshake is not None
        context, timeout_s = self._handshake
        with contextlib.closing(connection.dup()) as again:
            try:
                await self._loop.connect_accepted_socket(
                    self._factory, connection, ssl=context, ssl_handshake_timeout=timeout_s
                )
            except ssl.SSLError as error:
                log.debug("no TLS: %s", error)
                if error.reason == "HTTP_REQUEST":
                    with contextlib.suppress(OSError):
                        again.send(NO_TLS)
                connection.close()
            except OSError as error:
                log.debug("no TLS: %s", error or "the handshake took too long")
                connection.close()


def _keep_alive(listener: socket.socket) -> None:
    """For what is accepted from it: accepted sockets inherit these."""
    if listener.family == socket.AF_UNIX:
        return
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

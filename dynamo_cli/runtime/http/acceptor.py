"""Accepting connections, sharing one listening socket fairly with other processes."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)

STAND_BACK_S = 0.001
BATCH = 4
OUT_OF_DESCRIPTORS_PAUSE_S = 0.1


class Acceptor:
    """Takes one connection each time the socket is ready, so that a burst spreads over the processes.

    The kernel tends to wake the same process first, which would then serve everything. So who has just taken a
    connection owes its rivals one turn each: it stands back for a moment and takes the next one only if it is still
    there.
    """

    def __init__(
        self,
        listener: socket.socket,
        factory: Callable[[], asyncio.Protocol],
        rivals: Callable[[], int] = lambda: 0,
    ) -> None:
        self._listener = listener
        self._factory = factory
        self._rivals = rivals
        self._owed = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._closed = False
        listener.setblocking(False)
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
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            log.error("cannot accept connections: %s", error)
            self._wait(OUT_OF_DESCRIPTORS_PAUSE_S, lambda: None)
            return False
        connection.setblocking(False)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._connect(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, connection)
        except OSError:
            connection.close()

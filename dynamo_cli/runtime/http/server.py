"""The set of connections: accepts, hands requests to the handler, ends slow ones, drains."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from dynamo_cli.errors import DynamoError
from dynamo_cli.runtime.descriptors import most_connections
from dynamo_cli.runtime.http.acceptor import Acceptor, Handshake
from dynamo_cli.runtime.http.connection import HttpConnection
from dynamo_cli.runtime.http.exchange import Exchange, Handler
from dynamo_cli.runtime.http.limits import Limits
from dynamo_cli.runtime.http.reader import Admit

log = logging.getLogger(__name__)
TICK_S = 5.0
FOREVER_S = 1e6
LAST_REQUEST_S = 1.0
"""How long an idle connection of a server that retires may still bring a request."""


class HttpServer:
    """`handler` answers each exchange, now or later; a DynamoError it raises becomes the error response.

    `admit` judges requests of the public socket by their heads. `tls`: that socket speaks TLS. `on_ended` hears of
    each answer that is complete or whose client has gone; it raises nothing.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits | None = None,
        admit: Admit | None = None,
        tls: ssl.SSLContext | None = None,
        on_ended: Handler | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.admit = admit
        self.on_ended = on_ended
        self.connections: set[HttpConnection] = set()
        self.draining = False
        self._handler = handler
        self._tls = tls
        self._most = self.limits.connections or most_connections()
        self._acceptors: list[Acceptor] = []
        self.unix_listeners: list[tuple[asyncio.Server, Path]] = []
        self._progress = asyncio.Event()
        self._tick: asyncio.TimerHandle | None = None

    def listen(self, listener: socket.socket, rivals: Callable[[], int] = lambda: 0) -> None:
        """Accept from a listening socket; `rivals` tells how many other processes accept from it too."""
        handshake = Handshake(self._tls, self.limits.handshake_s) if self._tls else None
        acceptor = Acceptor(listener, self._accept, rivals, self._room, handshake)
        self._acceptors.append(acceptor)
        self._watch()

    def _accept(self) -> HttpConnection:
        return HttpConnection(self, trusted=False)

    def _room(self) -> int:
        return self._most - len(self.connections)

    async def listen_unix(self, path: Path) -> None:
        """Accept on a private (0600) unix socket; its requests are `trusted`."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        mask = os.umask(0o177)
        try:
            loop = asyncio.get_running_loop()
            server = await loop.create_unix_server(self._accept_own, str(path))
        finally:
            os.umask(mask)
        self.unix_listeners.append((server, path))

    def _accept_own(self) -> HttpConnection:
        return HttpConnection(self, trusted=True)

    def handle(self, exchange: Exchange) -> None:
        try:
            self._handler(exchange)
        except Exception as error:
            send_failure(exchange, error)

    def exchanges(self) -> list[Exchange]:
        """Those that are being answered now."""
        return [connection.exchange for connection in self.connections if connection.exchange is not None]

    def progress(self) -> None:
        """A connection has answered or gone."""
        self._progress.set()

    def stop_accepting(self) -> None:
        """Leave the public socket; idle connections close, busy ones after their answer."""
        self._leave_sockets()
        for connection in list(self.connections):
            if not connection.busy and connection.requests:
                connection.close()

    async def drain(self, grace_s: float) -> None:
        """Stop accepting and wait for the requests in flight."""
        self.stop_accepting()
        await self._until(lambda: not any(c.busy for c in self.connections), grace_s)

    async def retire(self) -> None:
        """Others go on accepting: wait for the requests in flight, however long they take.

        A client that keeps its connection in use is told to open another one, by the answer to its next request.
        """
        self._leave_sockets()
        await self._until(lambda: not self.connections, LAST_REQUEST_S)
        self.stop_accepting()
        await self._until(lambda: not any(c.busy for c in self.connections), None)

    def _leave_sockets(self) -> None:
        self.draining = True
        for acceptor in self._acceptors:
            acceptor.close()
        self._acceptors.clear()

    async def close(self) -> None:
        """Drop what is left."""
        self.stop_accepting()
        if self._tick is not None:
            self._tick.cancel()
        for server, path in self.unix_listeners:
            server.close()
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        for connection in list(self.connections):
            connection.give_up() if connection.busy else connection.close()
        await self._until(lambda: not self.connections, 1.0)

    async def _until(self, reached: Callable[[], bool], timeout_s: float | None) -> None:
        deadline = time.monotonic() + (FOREVER_S if timeout_s is None else timeout_s)
        while not reached() and (left := deadline - time.monotonic()) > 0:
            self._progress.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._progress.wait(), left)

    def _watch(self) -> None:
        """What takes longer than the limits allow ends."""
        now, limits = time.monotonic(), self.limits
        for connection in list(self.connections):
            connection.check(now)
        shortest = min(limits.head_s, limits.body_s, limits.idle_s, limits.write_s)
        self._tick = asyncio.get_running_loop().call_later(min(TICK_S, shortest / 4), self._watch)


def send_failure(exchange: Exchange, error: Exception) -> None:
    """What a handler raised, as the response: a DynamoError says what is wrong, anything else is logged."""
    if isinstance(error, DynamoError):
        exchange.send_error(error)
        return
    request = exchange.request
    extra = {"trail": getattr(exchange.about, "trail", None)}
    log.error("%s %s (%s) failed", request.method, request.path, request.id.decode(), exc_info=error, extra=extra)
    if not exchange.started:
        exchange.send_error(DynamoError("internal error; this process's log has the details"))

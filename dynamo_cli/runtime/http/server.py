"""The set of connections: accepts, hands requests to the handler, closes idle ones, drains."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from dynamo_cli.errors import DynamoError
from dynamo_cli.runtime.http.acceptor import Acceptor
from dynamo_cli.runtime.http.connection import HttpConnection
from dynamo_cli.runtime.http.envelope import error_body
from dynamo_cli.runtime.http.exchange import Exchange, Handler
from dynamo_cli.runtime.http.limits import Limits

log = logging.getLogger(__name__)
TICK_S = 5.0


class HttpServer:
    """`handler` answers each exchange, now or later; a DynamoError it raises becomes the error response."""

    def __init__(self, handler: Handler, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.connections: set[HttpConnection] = set()
        self.draining = False
        self._handler = handler
        self._acceptors: list[Acceptor] = []
        self.unix_listeners: list[tuple[asyncio.Server, Path]] = []
        self._progress = asyncio.Event()
        self._tick: asyncio.TimerHandle | None = None

    def listen(self, listener: socket.socket, rivals: Callable[[], int] = lambda: 0) -> None:
        """Accept from a listening socket; `rivals` tells how many other processes accept from it too."""
        self._acceptors.append(Acceptor(listener, lambda: HttpConnection(self, trusted=False), rivals))
        self._watch_idle()

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
        except DynamoError as error:
            exchange.send(error.status, error_body(error))
        except Exception:
            log.exception("%s %s failed", exchange.request.method, exchange.request.path)
            if not exchange.started:
                exchange.send(500, error_body(DynamoError("internal error; this process's log has the details")))

    def progress(self) -> None:
        """A connection has answered or gone."""
        self._progress.set()

    def stop_accepting(self) -> None:
        """Leave the public socket; idle connections close, busy ones after their answer."""
        self.draining = True
        for acceptor in self._acceptors:
            acceptor.close()
        self._acceptors.clear()
        for connection in list(self.connections):
            if not connection.busy and connection.requests:
                connection.close()

    async def drain(self, grace_s: float) -> None:
        """Stop accepting and wait for the requests in flight."""
        self.stop_accepting()
        await self._until(lambda: not any(c.busy for c in self.connections), grace_s)

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
            connection.abort() if connection.busy else connection.close()
        await self._until(lambda: not self.connections, 1.0)

    async def _until(self, reached: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not reached() and (left := deadline - time.monotonic()) > 0:
            self._progress.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._progress.wait(), left)

    def _watch_idle(self) -> None:
        oldest = time.monotonic() - self.limits.idle_s
        for connection in list(self.connections):
            if not connection.busy and connection.heard_at < oldest:
                connection.close()
        self._tick = asyncio.get_running_loop().call_later(TICK_S, self._watch_idle)

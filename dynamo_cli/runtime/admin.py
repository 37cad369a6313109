"""The admin socket of a component: health, liveness and metrics over HTTP on a private unix socket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from dynamo_cli.runtime.http.exchange import Exchange, Handler
from dynamo_cli.runtime.http.reader import Admit
from dynamo_cli.runtime.http.routes import RouteTable
from dynamo_cli.runtime.http.server import HttpServer

HealthStatus = Literal["starting", "loading", "ready", "notready", "draining", "failed"]
PROMETHEUS_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class AdminServer:
    """Add routes, then `start()`. /health is 200 when the status is ready, else 503; /live is 200 while it answers.

    `admit` judges requests of other sockets, which `listen` adds.
    """

    def __init__(self, path: Path, admit: Admit | None = None) -> None:
        self.path = path
        self.metrics: Callable[[], bytes] = bytes
        self.health: dict[str, Any] = {"status": "starting", "reason": ""}
        self._routes = RouteTable()
        self._server = HttpServer(self._routes.handle, admit=admit)
        self.route("GET", "/health", self._get_health)
        self.route("GET", "/live", lambda exchange: exchange.send_json({"status": "live"}))
        self.route("GET", "/metrics", lambda exchange: exchange.send(200, self.metrics(), PROMETHEUS_TEXT))

    def route(self, method: str, path: str, handler: Handler) -> None:
        """Serve `handler`, also in place of a route of ours."""
        self._routes.add(method, path, handler)

    def set_health(self, status: HealthStatus, reason: str = "", **extra: Any) -> None:
        self.health = {"status": status, "reason": reason, **extra}

    async def start(self) -> None:
        """Listen (0600). A socket left by a dead process is replaced."""
        await self._server.listen_unix(self.path)

    def listen(self, listener: socket.socket) -> None:
        """Answer the same on a listening socket, to clients that are not trusted."""
        self._server.listen(listener)

    async def close(self) -> None:
        """Stop listening and remove the admin socket. Idempotent."""
        await self._server.close()

    def _get_health(self, exchange: Exchange) -> None:
        exchange.send_json(self.health, 200 if self.health["status"] == "ready" else 503)

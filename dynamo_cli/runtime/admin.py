"""The admin socket of a component: health, liveness and metrics over HTTP on a private unix socket."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from aiohttp import web

HealthStatus = Literal["starting", "loading", "ready", "draining", "failed"]
AdminHandler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


class AdminServer:
    """Add routes, then `start()`. /health is 200 when the status is ready, else 503; /live is 200 while it answers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics: Callable[[], str | bytes] = lambda: ""
        self._health: dict[str, Any] = {"status": "starting", "reason": ""}
        self._routes: list[tuple[str, str, AdminHandler]] = []
        self._runner: web.AppRunner | None = None

    def route(self, method: str, path: str, handler: AdminHandler) -> None:
        """Serve `handler`; only before start()."""
        self._routes.append((method, path, handler))

    def set_health(self, status: HealthStatus, reason: str = "", **extra: Any) -> None:
        self._health = {"status": status, "reason": reason, **extra}

    @property
    def health(self) -> dict[str, Any]:
        return self._health

    async def start(self) -> None:
        """Listen (0600). A socket left by a dead process is replaced."""
        from aiohttp import web

        app = web.Application(client_max_size=64 << 20)
        for method, path, handler in [*self._own_routes(), *self._routes]:
            app.router.add_route(method, path, handler)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        mask = os.umask(0o177)
        try:
            await web.UnixSite(self._runner, str(self.path)).start()
        finally:
            os.umask(mask)

    async def close(self) -> None:
        """Stop listening and remove the socket. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        await runner.cleanup()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def _own_routes(self) -> list[tuple[str, str, AdminHandler]]:
        from aiohttp import web

        async def health(_: web.Request) -> web.Response:
            return web.json_response(self._health, status=200 if self._health["status"] == "ready" else 503)

        async def live(_: web.Request) -> web.Response:
            return web.json_response({"status": "live"})

        async def metrics(_: web.Request) -> web.Response:
            text = self.metrics()
            body = text.encode() if isinstance(text, str) else text
            return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

        taken = {(method, path) for method, path, _ in self._routes}
        own: list[tuple[str, str, AdminHandler]] = [
            ("GET", "/health", health),
            ("GET", "/live", live),
            ("GET", "/metrics", metrics),
        ]
        return [route for route in own if route[:2] not in taken]

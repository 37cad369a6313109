"""The system server of a worker: its admin socket, and the same on a TCP port where one is asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from dynamo_cli.errors import NotReady
from dynamo_cli.runtime.admin import AdminServer
from dynamo_cli.runtime.http.content_type import json_only
from dynamo_cli.runtime.http.exchange import Exchange, Handler
from dynamo_cli.runtime.http.later import later
from dynamo_cli.runtime.http.listener import bind, url
from dynamo_cli.runtime.http.refusal import Refusal, refusal
from dynamo_cli.runtime.http.request import Request
from dynamo_cli.workers.system import controls, loras
from dynamo_cli.workers.system.controls import ControlRoutes
from dynamo_cli.workers.system.health import SystemHealth
from dynamo_cli.workers.system.loras import LoraRoutes
from dynamo_cli.workers.system.options import SystemOptions

_log = logging.getLogger("dynamo.worker")
_OF_ENGINE = (
    ("GET", controls.PATH),
    ("POST", controls.OLDER_PATH),
    ("GET", loras.PATH),
    ("POST", loras.PATH),
    ("DELETE", f"{loras.PATH}/"),
)


def admit(request: Request) -> Refusal | None:
    """Nothing that a web page may have sent from the browser of whoever may reach this port."""
    if b"origin" in request.headers:
        return refusal(403, "this port is not for web pages")
    return json_only(request)


class SystemServer(AdminServer):
    """Health, liveness and metrics from the start; controls and adapters once an engine has started."""

    def __init__(self, path: Path, options: SystemOptions, endpoint: str) -> None:
        super().__init__(path, admit=admit)
        self._options = options
        self.route("GET", "/health", SystemHealth(lambda: self.health, endpoint).get)
        for method, of_engine in _OF_ENGINE:
            self.route(method, of_engine, _too_early)

    async def start(self) -> None:
        """Raises PortBusy, ResourceMissing, or UsageError for the host."""
        await super().start()
        if self._options.port is not None:
            listener = bind(self._options.host, self._options.port)
            where = url(listener)
            self.listen(listener)
            _log.info("system server on %s", where)

    def serve(self, control: ControlRoutes, lora: LoraRoutes) -> None:
        self.route("GET", controls.PATH, control.list_all)
        self.route("POST", controls.OLDER_PATH, _finishing(control.run))
        self.route("GET", loras.PATH, lora.list_all)
        self.route("POST", loras.PATH, _finishing(lora.load))
        self.route("DELETE", f"{loras.PATH}/", _finishing(lora.unload))


def _finishing(answer: Callable[[Exchange], Awaitable[None]]) -> Handler:
    """A client that goes away leaves nothing half done."""

    async def whole(exchange: Exchange) -> None:
        await asyncio.shield(asyncio.ensure_future(answer(exchange)))

    return later(whole)


def _too_early(exchange: Exchange) -> None:
    raise NotReady(f"{exchange.request.path}: the engine has not started yet")

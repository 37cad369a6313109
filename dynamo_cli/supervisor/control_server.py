"""The control socket: the only way in which others reach a supervisor, and only for its owner."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from pathlib import Path

import msgspec

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.runtime.admin import AdminServer
from dynamo_cli.runtime.control import DeploymentStatus, StopRequest
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.supervisor.events import EventBus


class ControlServer:
    """Serves status, events and stop until it is closed."""

    def __init__(
        self, path: Path, status: Callable[[], DeploymentStatus], stop: Callable[[bool], None], bus: EventBus
    ) -> None:
        self._stop = stop
        self._bus = bus
        self._listeners: set[asyncio.Task[None]] = set()
        self._server = AdminServer(path)
        self._server.route("GET", "/status", lambda exchange: exchange.send_json(status()))
        self._server.route("GET", "/events", self._get_events)
        self._server.route("POST", "/stop", self._post_stop)
        self._server.set_health("ready")

    async def start(self) -> None:
        await self._server.start()

    async def close(self) -> None:
        if self._listeners:
            await asyncio.wait(self._listeners, timeout=1.0)
        await self._server.close()

    def _get_events(self, exchange: Exchange) -> None:
        task = asyncio.ensure_future(self._tell(exchange))
        exchange.on_disconnect = functools.partial(_cancel, task)
        self._listeners.add(task)
        task.add_done_callback(self._listeners.discard)

    async def _tell(self, exchange: Exchange) -> None:
        with self._bus.subscribe() as queue:
            exchange.start(b"", content_type=b"application/x-ndjson")
            while event := await queue.get():
                exchange.write(msgspec.json.encode(event) + b"\n")
            exchange.finish(b"")

    def _post_stop(self, exchange: Exchange) -> None:
        try:
            wanted = msgspec.json.decode(exchange.request.body, type=StopRequest)
        except msgspec.DecodeError as error:
            raise InvalidRequest(str(error)) from None
        self._stop(wanted.force)
        exchange.send_json({})


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()

"""The control socket: the only way in which others reach a supervisor, and only for its owner."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec

from dynamo_cli.errors import InvalidRequest, UsageError
from dynamo_cli.protocol.detail import ServiceDetail
from dynamo_cli.protocol.routing_view import RoutingStatus
from dynamo_cli.runtime.admin import AdminServer
from dynamo_cli.runtime.control import (
    ActionRequest,
    ApplyRequest,
    Begun,
    DeploymentStatus,
    RememberedRequests,
    ScaleRequest,
    ServiceAction,
    StopRequest,
)
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.http.later import later
from dynamo_cli.supervisor.events import EventBus

T = TypeVar("T")


class Controls(Protocol):
    """What can be asked of a supervisor."""

    @property
    def status(self) -> DeploymentStatus: ...

    async def fresh(self) -> None:
        """Somebody looks: return when the numbers of the status are not old, or in a moment."""

    def detail(self, name: str) -> ServiceDetail:
        """UsageError for a service that is not there."""

    async def routing(self) -> RoutingStatus: ...

    async def requests(self, path: str) -> RememberedRequests: ...

    def stop(self, force: bool = False) -> None: ...

    def detach(self) -> None:
        """UsageError when it cannot go on alone, ResourceMissing when that cannot be written down."""

    def act(self, action: ServiceAction, names: list[str], rolling: bool = False, surge: int = 1) -> int:
        """The id of a change. UsageError for a name that is not there, and while it is stopping."""

    def apply(self, plan: bytes, base: str, surge: int = 1) -> int:
        """The id of a change. UsageError for what cannot be."""

    def scale(self, replicas: dict[str, int]) -> None:
        """UsageError for what cannot be."""


class ControlServer:
    """Serves a supervisor's status, events and verbs until it is closed."""

    def __init__(self, path: Path, controls: Controls, bus: EventBus) -> None:
        self._controls = controls
        self._bus = bus
        self._listeners: set[asyncio.Task[None]] = set()
        self._server = AdminServer(path)
        self._server.route("GET", "/status", later(self._get_status))
        self._server.route("GET", "/services/", self._get_service)
        self._server.route("GET", "/router", later(self._get_router))
        self._server.route("GET", "/requests", later(self._get_requests))
        self._server.route("GET", "/requests/", later(self._get_requests))
        self._server.route("GET", "/events", self._get_events)
        self._server.route("POST", "/stop", self._post_stop)
        self._server.route("POST", "/detach", self._post_detach)
        self._server.route("POST", "/services", self._post_services)
        self._server.route("POST", "/scale", self._post_scale)
        self._server.route("POST", "/apply", self._post_apply)
        self._server.set_health("ready")

    async def start(self) -> None:
        await self._server.start()

    async def close(self) -> None:
        if self._listeners:
            await asyncio.wait(self._listeners, timeout=1.0)
        await self._server.close()

    async def _get_status(self, exchange: Exchange) -> None:
        await self._controls.fresh()
        exchange.send_json(self._controls.status)

    def _get_service(self, exchange: Exchange) -> None:
        with _refused_politely():
            exchange.send_json(self._controls.detail(exchange.request.path.removeprefix("/services/")))

    async def _get_router(self, exchange: Exchange) -> None:
        exchange.send_json(await self._controls.routing())

    async def _get_requests(self, exchange: Exchange) -> None:
        exchange.send_json(await self._controls.requests(quote(exchange.request.path)))

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
        self._controls.stop(_decoded(exchange, StopRequest).force)
        exchange.send_json({})

    def _post_detach(self, exchange: Exchange) -> None:
        with _refused_politely():
            self._controls.detach()
        exchange.send_json({})

    def _post_services(self, exchange: Exchange) -> None:
        wanted = _decoded(exchange, ActionRequest)
        with _refused_politely():
            change = self._controls.act(wanted.action, wanted.names, wanted.rolling, wanted.surge)
        exchange.send_json(Begun(change))

    def _post_apply(self, exchange: Exchange) -> None:
        wanted = _decoded(exchange, ApplyRequest)
        with _refused_politely():
            change = self._controls.apply(bytes(wanted.plan), wanted.base, wanted.surge)
        exchange.send_json(Begun(change))

    def _post_scale(self, exchange: Exchange) -> None:
        with _refused_politely():
            self._controls.scale(_decoded(exchange, ScaleRequest).replicas)
        exchange.send_json({})


def _decoded(exchange: Exchange, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(exchange.request.body, type=kind)
    except msgspec.DecodeError as error:
        raise InvalidRequest(str(error)) from None


@contextmanager
def _refused_politely() -> Iterator[None]:
    """A wrong name is the asker's mistake."""
    try:
        yield
    except UsageError as error:
        raise InvalidRequest(str(error)) from None


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()

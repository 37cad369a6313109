"""The control socket: the only way in which others reach a supervisor, and only for its owner."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from dynamo_cli.runtime.admin import AdminServer
from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.supervisor.events import EventBus

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlServer:
    """Serves status, events and stop until it is closed."""

    def __init__(
        self, path: Path, status: Callable[[], DeploymentStatus], stop: Callable[[bool], None], bus: EventBus
    ) -> None:
        self._status = status
        self._stop = stop
        self._bus = bus
        self._server = AdminServer(path)
        self._server.route("GET", "/status", self._only_owner(self._get_status))
        self._server.route("GET", "/events", self._only_owner(self._get_events))
        self._server.route("POST", "/stop", self._only_owner(self._post_stop))
        self._server.set_health("ready")

    async def start(self) -> None:
        await self._server.start()

    async def close(self) -> None:
        await self._server.close()

    def _only_owner(self, handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            from aiohttp import web

            peer = request.get_extra_info("socket")
            if peer is None or peer_uid(peer) not in (os.getuid(), 0):
                raise web.HTTPForbidden(text="only the deployment's owner may use this socket")
            return await handler(request)

        return checked

    async def _get_status(self, _: web.Request) -> web.StreamResponse:
        from aiohttp import web

        return web.Response(body=msgspec.json.encode(self._status()), content_type="application/json")

    async def _get_events(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        with self._bus.subscribe() as queue:
            while event := await queue.get():
                await response.write(msgspec.json.encode(event) + b"\n")
        return response

    async def _post_stop(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        self._stop("force" in request.query)
        return web.json_response({})


def peer_uid(peer: socket.socket) -> int:
    """The user at the other end of a unix socket; ours where the kernel does not tell: the directory is private."""
    if not hasattr(socket, "SO_PEERCRED"):
        return os.getuid()
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid

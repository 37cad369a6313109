"""The worker's end of the request plane over TCP."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from dynamo_cli.errors import (
    Draining,
    DynamoError,
    InvalidRequest,
    NoInstances,
    Overloaded,
    ResourceMissing,
    Unauthorized,
)
from dynamo_cli.runtime.requests.auth import HANDSHAKE_S, new_hello, welcome
from dynamo_cli.runtime.requests.base import Handler, RequestServer
from dynamo_cli.runtime.requests.frames import (
    MAX_FRAME,
    AnyFrame,
    Cancel,
    Drain,
    Error,
    Ping,
    Pong,
    Proof,
    Request,
    Window,
    encode_frame,
    payload_decoder,
)
from dynamo_cli.runtime.requests.heartbeat import HeartbeatThread
from dynamo_cli.runtime.requests.link import Link
from dynamo_cli.runtime.requests.serving import ServedStream, error_frame
from dynamo_cli.runtime.within import within

_log = logging.getLogger(__name__)
_MAX_UNPROVED = 64
_MAX_IN_FLIGHT = 4096
_BACKLOG = 1024
_FINISH_S = 1.0


class _Endpoint(NamedTuple):
    handler: Handler
    decode: msgspec.msgpack.Decoder[Any]


class TcpRequestServer(RequestServer):
    """Created by `listen`. Handlers run as one task each."""

    def __init__(self, token: bytes, host: str) -> None:
        self.token = token
        self.endpoints: dict[str, _Endpoint] = {}
        self.draining: set[str] = set()
        self.unproved: set[ServerLink] = set()
        self.links: set[ServerLink] = set()
        self.open: set[ServerLink] = set()
        self.heartbeats = HeartbeatThread()
        self._host = host
        self._port = 0
        self._listener: asyncio.Server | None = None
        self._streams: dict[ServedStream, str] = {}
        self._finished = asyncio.Event()

    @classmethod
    async def listen(cls, token: bytes, host: str = "127.0.0.1", port: int = 0) -> TcpRequestServer:
        """ResourceMissing when the address cannot be bound."""
        server = cls(token, host)
        loop = asyncio.get_running_loop()
        try:
            server._listener = await loop.create_server(lambda: ServerLink(server), host, port, backlog=_BACKLOG)
        except OSError as error:
            server.heartbeats.close()
            raise ResourceMissing(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
        server._port = server._listener.sockets[0].getsockname()[1]
        return server

    @property
    def address(self) -> str:
        host = _reachable(self._host)
        return f"tcp://[{host}]:{self._port}" if ":" in host else f"tcp://{host}:{self._port}"

    def add(self, endpoint: str, handler: Handler, request_type: Any = Any) -> None:
        self.endpoints[endpoint] = _Endpoint(handler, payload_decoder(request_type))
        self.draining.discard(endpoint)

    def report(self, load: Callable[[], bytes]) -> None:
        self.heartbeats.load = load

    def remove(self, endpoint: str) -> None:
        self.endpoints.pop(endpoint, None)

    def inflight(self, endpoint: str | None = None) -> int:
        if endpoint is None:
            return len(self._streams)
        return sum(name == endpoint for name in self._streams.values())

    async def drain(self, timeout_s: float, endpoint: str = "") -> None:
        self.draining.add(endpoint)
        for link in self.links:
            link.out.frame(Drain(endpoint))
        await self._wait_idle(timeout_s, endpoint)
        leftover = self._of(endpoint)
        for stream in leftover:
            stream.give_up("the worker is shutting down")
        if leftover:
            await asyncio.wait([stream.task for stream in leftover])

    async def close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.close()
        streams = list(self._streams)
        for stream in streams:
            stream.give_up("the worker is shutting down")
        if streams:
            await asyncio.wait([stream.task for stream in streams])
        for link in [*self.links, *self.unproved]:
            link.finish()
        for link in list(self.open):
            await link.gone()
        self.heartbeats.close()
        await listener.wait_closed()

    def is_draining(self, endpoint: str) -> bool:
        return "" in self.draining or endpoint in self.draining

    def started(self, stream: ServedStream, endpoint: str) -> None:
        self._streams[stream] = endpoint

    def finished(self, stream: ServedStream) -> None:
        self._streams.pop(stream, None)
        self._finished.set()

    def _of(self, endpoint: str) -> list[ServedStream]:
        return [stream for stream, name in self._streams.items() if endpoint in ("", name)]

    async def _wait_idle(self, timeout_s: float, endpoint: str) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._of(endpoint):
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return
            self._finished.clear()
            try:
                await within(left, self._finished.wait())
            except asyncio.TimeoutError:
                return


class ServerLink(Link):
    """One client's connection: proof first, then requests."""

    def __init__(self, server: TcpRequestServer) -> None:
        super().__init__()
        self.server = server
        self.streams: dict[int, ServedStream] = {}
        self._hello = new_hello()
        self._deadline = self._loop.call_later(HANDSHAKE_S, self.close, "no proof of the token in time")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.server.open.add(self)
        if len(self.server.unproved) >= _MAX_UNPROVED:
            self.close("too many connections without proof")
            return
        self.server.unproved.add(self)
        self.out.frame(self._hello)
        self.out.flush()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.server.open.discard(self)

    def on_frame(self, frame: AnyFrame) -> None:
        if self in self.server.unproved:
            self._on_proof(frame)
        elif type(frame) is Request:
            self._on_request(frame)
        elif type(frame) is Window:
            if stream := self.streams.get(frame.stream):
                stream.grant(frame.credit)
        elif type(frame) is Cancel:
            if stream := self.streams.get(frame.stream):
                stream.cancel()
        elif type(frame) is Ping:
            self.out.frame(Pong(frame.number))
        else:
            self.close(f"unexpected {type(frame).__name__} frame")

    def on_writable(self) -> None:
        for stream in self.streams.values():
            stream.credit.wake()

    def on_closed(self, reason: str) -> None:
        self._deadline.cancel()
        self.server.unproved.discard(self)
        self.server.links.discard(self)
        if reason and not self.streams:
            _log.debug("connection closed: %s", reason)
        for stream in list(self.streams.values()):
            stream.cancel()

    def finish(self) -> None:
        """Close after what is already written has left; a peer that does not take it is cut off."""
        self.out.flush()
        if self.transport is not None:
            self.transport.close()
            self._deadline = self._loop.call_later(_FINISH_S, self.close, "the peer does not read")

    def _on_proof(self, frame: AnyFrame) -> None:
        answer = welcome(self.server.token, self._hello, frame) if isinstance(frame, Proof) else None
        if answer is None or not isinstance(frame, Proof):
            self._refuse()
            return
        self._deadline.cancel()
        self.server.unproved.discard(self)
        if frame.purpose == "heartbeat":
            self._hand_over(encode_frame(answer))
            return
        self.reader.limit = MAX_FRAME
        self.server.links.add(self)
        self.out.frame(answer)
        for endpoint in self.server.draining:
            self.out.frame(Drain(endpoint))

    def _refuse(self) -> None:
        _log.warning("refused a connection without proof of the deployment's token")
        self.out.frame(Error(0, Unauthorized.code, "the worker did not accept the deployment's token"))
        self.out.flush()
        self.closed = True
        self.server.unproved.discard(self)
        self._deadline.cancel()
        if self.transport is not None:
            self.transport.close()

    def _hand_over(self, answer: bytearray) -> None:
        """Give the socket to the heartbeat thread: a duplicate outlives this transport."""
        assert self.transport is not None
        connection = socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))
        connection.setblocking(False)
        self.close("")
        connection.send(answer)
        self.server.heartbeats.adopt(connection)

    def _on_request(self, frame: Request) -> None:
        try:
            endpoint, request = self._accept(frame)
        except DynamoError as error:
            self.out.frame(error_frame(frame.stream, error))
            return
        stream = ServedStream(self, frame.stream, frame.request_id, frame.trail)
        self.streams[frame.stream] = stream
        self.server.started(stream, frame.endpoint)
        stream.start(endpoint.handler, request)

    def _accept(self, frame: Request) -> tuple[_Endpoint, Any]:
        endpoint = self.server.endpoints.get(frame.endpoint)
        if self.server.is_draining(frame.endpoint):
            raise Draining(f"the worker at {self.server.address} is shutting down")
        if endpoint is None:
            raise NoInstances(f"{self.server.address} does not serve {frame.endpoint}")
        if len(self.streams) >= _MAX_IN_FLIGHT or frame.stream in self.streams:
            raise Overloaded(f"the worker at {self.server.address} has {len(self.streams)} requests in flight")
        try:
            return endpoint, endpoint.decode.decode(frame.payload)
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"the worker cannot take this request: {error}") from None


def _reachable(host: str) -> str:
    """The address peers can use: a wildcard stands for this host's name."""
    if host not in ("0.0.0.0", "::", ""):
        return host
    return socket.gethostbyname(socket.gethostname())

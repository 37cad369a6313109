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
)
from dynamo_cli.runtime.links.frames import Proof, Welcome, encode_frame
from dynamo_cli.runtime.links.server import AcceptedLink, Listener
from dynamo_cli.runtime.requests.base import Handler, RequestServer
from dynamo_cli.runtime.requests.frames import (
    AnyFrame,
    Cancel,
    Drain,
    Ping,
    Pong,
    Request,
    Window,
    frame_decoder,
    payload_decoder,
)
from dynamo_cli.runtime.requests.heartbeat import HeartbeatThread
from dynamo_cli.runtime.requests.outbox import Outbox
from dynamo_cli.runtime.requests.serving import ServedStream, error_frame
from dynamo_cli.runtime.within import within

_log = logging.getLogger(__name__)
_MAX_IN_FLIGHT = 4096
CUT_S = 3.0
"""The second that a stopped handler has before it is cancelled, and what it may take to clean up."""


class _Endpoint(NamedTuple):
    handler: Handler
    decode: msgspec.msgpack.Decoder[Any]


class TcpRequestServer(RequestServer):
    """Created by `listen`. Handlers run as one task each."""

    def __init__(self, token: bytes, host: str) -> None:
        self.listener = Listener(token, host, lambda: ServerLink(self))
        self.endpoints: dict[str, _Endpoint] = {}
        self.draining: set[str] = set()
        self.links: set[ServerLink] = set()
        self.heartbeats = HeartbeatThread()
        self._streams: dict[ServedStream, str] = {}
        self._finished = asyncio.Event()

    @classmethod
    async def listen(cls, token: bytes, host: str = "127.0.0.1", port: int = 0) -> TcpRequestServer:
        """ResourceMissing when the address cannot be bound."""
        server = cls(token, host)
        try:
            await server.listener.open(port)
        except DynamoError:
            server.heartbeats.close()
            raise
        return server

    @property
    def address(self) -> str:
        return self.listener.address

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
        await self.wait_idle(timeout_s, endpoint)
        await self._cut(self._of(endpoint))

    async def close(self) -> None:
        if not self.listener.stop():
            return
        await self._cut(list(self._streams))
        for link in self.links:
            link.out.flush()
        await self.listener.close()
        self.heartbeats.close()

    def is_draining(self, endpoint: str) -> bool:
        return "" in self.draining or endpoint in self.draining

    def started(self, stream: ServedStream, endpoint: str) -> None:
        self._streams[stream] = endpoint

    def finished(self, stream: ServedStream) -> None:
        self._streams.pop(stream, None)
        self._finished.set()

    def _of(self, endpoint: str) -> list[ServedStream]:
        return [stream for stream, name in self._streams.items() if endpoint in ("", name)]

    async def _cut(self, streams: list[ServedStream]) -> None:
        """End them; a handler that goes on although it was cancelled is waited for once, no longer than CUT_S."""
        if not streams:
            return
        for stream in streams:
            stream.give_up("the worker is shutting down")
        _, left = await asyncio.wait([stream.task for stream in streams], timeout=CUT_S)
        for stream in streams:
            if stream.task in left:
                self.finished(stream)
        if left:
            _log.warning("%d requests go on %g s after they were to end", len(left), CUT_S)

    async def wait_idle(self, timeout_s: float, endpoint: str = "") -> None:
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


class ServerLink(AcceptedLink):
    """One client's connection: requests, or pings for the heartbeat thread."""

    plane = "request plane"
    purposes = ("requests", "heartbeat")
    decoder = frame_decoder

    def __init__(self, server: TcpRequestServer) -> None:
        super().__init__(server.listener)
        self.server = server
        self.out = Outbox(self._loop, self.write)
        self.streams: dict[int, ServedStream] = {}

    def on_proved(self, proof: Proof, answer: Welcome) -> None:
        if proof.purpose == "heartbeat":
            self._hand_over(encode_frame(answer))
            return
        self.server.links.add(self)
        self.send(answer)
        for endpoint in self.server.draining:
            self.out.frame(Drain(endpoint))

    def on_said(self, frame: AnyFrame) -> None:
        if type(frame) is Request:
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
        super().on_closed(reason)
        self.server.links.discard(self)
        for stream in list(self.streams.values()):
            stream.cancel()

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

"""One client connection: bytes in, requests out, in order; one exchange at a time."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

import httptools

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.runtime.http.envelope import error_body
from dynamo_cli.runtime.http.exchange import Exchange, Request, status_line

if TYPE_CHECKING:
    from dynamo_cli.runtime.http.server import HttpServer


class HttpConnection(asyncio.Protocol):
    """`trusted`: accepted on the private admin socket."""

    def __init__(self, server: HttpServer, trusted: bool) -> None:
        self._server = server
        self._limits = server.limits
        self._trusted = trusted
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._waiting: deque[Request] = deque()
        self._refused = False
        self._writing_paused = False
        self._reading_paused = False
        self._begin()
        self.requests = 0
        self.heard_at = time.monotonic()

    @property
    def draining(self) -> bool:
        return self._server.draining

    @property
    def busy(self) -> bool:
        return self._exchange is not None or bool(self._waiting)

    @property
    def unsent(self) -> int:
        """Bytes written that the client has not taken."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._trusted and peer_uid(transport.get_extra_info("socket")) not in (os.getuid(), 0):
            cast(asyncio.Transport, transport).abort()
            return
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        del self._parser  # it refers to this connection: nothing should wait for the collector
        self._waiting.clear()
        self._server.connections.discard(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.disconnected()
        self._server.progress()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self.heard_at = time.monotonic()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._stop_parsing()
        except httptools.HttpParserError as error:
            if not self._refused:
                self._refuse(400, f"malformed HTTP request: {error}")
        self._serve_next()

    def pause_writing(self) -> None:
        self._writing_paused = True
        if self._exchange is not None:
            self._exchange.on_pause()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._exchange is not None:
            self._exchange.on_resume()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._begin()

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value
        self._count_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        length = self._headers.get(b"content-length")
        if length is not None and int(length) > self._limits.body:
            self._refuse(413, self._too_large())
        elif self._headers.get(b"expect", b"").lower() == b"100-continue" and not self.busy:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)
        self._body_size += len(body)
        if self._body_size > self._limits.body:
            self._refuse(413, self._too_large())

    def on_message_complete(self) -> None:
        if self._refused:
            return
        path = self._url.partition(b"?")[0].decode("latin-1")
        request = Request(
            self._parser.get_method().decode("ascii"),
            unquote(path) if "%" in path else path,
            self._headers,
            self._parser.get_http_version(),
            self._trusted,
        )
        request.keep_alive = self._parser.should_keep_alive()
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._waiting.append(request)
        if len(self._waiting) > self._limits.pipelined:
            self._pause_reading()

    # answering

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def completed(self, exchange: Exchange) -> None:
        """The exchange has written its whole response."""
        self._exchange = None
        if not exchange.request.keep_alive:
            self.close()
        elif self._waiting:
            asyncio.get_running_loop().call_soon(self._serve_next)
        elif self.draining:
            self.close()
        self._server.progress()

    def close(self) -> None:
        """Close once what was written has left."""
        self._waiting.clear()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _serve_next(self) -> None:
        if self._exchange is not None or not self._waiting or self._transport is None:
            return
        request = self._waiting.popleft()
        if self._reading_paused and len(self._waiting) < self._limits.pipelined:
            self._reading_paused = False
            self._transport.resume_reading()
        self.requests += 1
        exchange = self._exchange = Exchange(self, request)
        self._server.handle(exchange)
        if self._writing_paused and self._exchange is exchange:
            exchange.on_pause()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_size = 0
        self._head_size = 0

    def _count_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > self._limits.head:
            self._refuse(431, f"the request head is larger than {self._limits.head} bytes")

    def _too_large(self) -> str:
        return f"the request body is larger than {self._limits.body} bytes"

    def _pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _stop_parsing(self) -> None:
        """Serve what is complete, then close: the bytes that follow are another protocol's."""
        self._refused = True
        for request in self._waiting:
            request.keep_alive = False

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be parsed, and close. What the client still sends is swallowed: a reset would
        destroy the answer on its way."""
        if self._refused:
            return
        self._refused = True
        self._body.clear()
        if self.busy or self._transport is None:
            self.close()
            return
        body = error_body(InvalidRequest(message), status)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.write(status_line(status) + head + body)
        asyncio.get_running_loop().call_later(self._limits.linger_s, self.close)


def peer_uid(peer: socket.socket) -> int:
    """The user at the other end of a unix socket; ours where the kernel does not tell: the directory is private."""
    if not hasattr(socket, "SO_PEERCRED"):
        return os.getuid()
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid

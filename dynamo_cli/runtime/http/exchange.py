"""One request and the writing of its response, whole or streamed."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from dynamo_cli.runtime.http.connection import HttpConnection

JSON = b"application/json"
SSE = b"text/event-stream; charset=utf-8"
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus} | {529: b"Site is overloaded"}


def _nothing() -> None: ...


def status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %s\r\n" % (status, _REASONS.get(status, b"Unknown"))


_OK_JSON = status_line(200) + b"content-type: application/json\r\ncontent-length: %d\r\n%s\r\n%s"


class Request:
    """`headers` have lower-case names; of a repeated header the last one counts. `path` has no query."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path", "trusted", "version")

    def __init__(self, method: str, path: str, headers: dict[bytes, bytes], version: str, trusted: bool) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.version = version
        self.trusted = trusted
        self.keep_alive = True
        self.body = b""


class Exchange:
    """Answer with `send`, or with `start`, `write` and `finish`. After the client has gone, writing does nothing.

    The callbacks are called from the event loop: `on_disconnect` once, if the client goes before the answer is
    complete; `on_pause` and `on_resume` when its socket stops and starts taking bytes.
    """

    __slots__ = ("_chunked", "_connection", "on_disconnect", "on_pause", "on_resume", "request", "started")

    def __init__(self, connection: HttpConnection, request: Request) -> None:
        self._connection: HttpConnection | None = connection
        self.request = request
        self.started = False
        self._chunked = request.version != "1.0"
        self.on_disconnect: Callable[[], None] = _nothing
        self.on_pause: Callable[[], None] = _nothing
        self.on_resume: Callable[[], None] = _nothing

    @property
    def open(self) -> bool:
        """Whether the answer is still owed."""
        return self._connection is not None

    def send(self, status: int, body: bytes, content_type: bytes = JSON, headers: bytes = b"") -> None:
        """The whole response at once; `headers` are complete lines."""
        connection = self._connection
        if connection is None:
            return
        self.started = True
        shown = b"" if self.request.method == "HEAD" else body
        extra = headers + self._connection_header(connection)
        if status == 200 and content_type is JSON:
            connection.write(_OK_JSON % (len(body), extra, shown))
        else:
            connection.write(
                b"%scontent-type: %s\r\ncontent-length: %d\r\n%s\r\n%s"
                % (status_line(status), content_type, len(body), extra, shown)
            )
        self._complete(connection)

    def send_json(self, value: object, status: int = 200) -> None:
        self.send(status, msgspec.json.encode(value))

    def start(self, payload: bytes, last: bool = False, content_type: bytes = SSE) -> None:
        """Begin a stream; head and first payload (and the end, if it is the last) leave together."""
        connection = self._connection
        if connection is None:
            return
        self.started = True
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        connection.write(
            b"%bcontent-type: %b\r\ncache-control: no-cache\r\n%b%b\r\n%b%b"
            % (
                status_line(200),
                content_type,
                framing,
                self._connection_header(connection),
                self._frame(payload),
                self._end() if last else b"",
            )
        )
        if last:
            self._complete(connection)

    def write(self, payload: bytes) -> None:
        if self._connection is not None:
            self._connection.write(self._frame(payload))

    def finish(self, payload: bytes) -> None:
        """The last payload and the end of the stream, in one write."""
        connection = self._connection
        if connection is None:
            return
        connection.write(self._frame(payload) + self._end())
        self._complete(connection)

    def disconnected(self) -> None:
        """The connection is lost (called by the connection)."""
        if self._connection is not None:
            self._connection = None
            on_disconnect = self.on_disconnect
            self._forget()
            on_disconnect()

    def _frame(self, payload: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(payload), payload) if self._chunked and payload else payload

    def _end(self) -> bytes:
        return b"0\r\n\r\n" if self._chunked else b""

    def _connection_header(self, connection: HttpConnection) -> bytes:
        if connection.draining or not self._chunked:
            self.request.keep_alive = False
        return b"" if self.request.keep_alive else b"connection: close\r\n"

    def _complete(self, connection: HttpConnection) -> None:
        self._connection = None
        self._forget()
        connection.completed(self)

    def _forget(self) -> None:
        """Let go of who answered: no reference cycles, so that nothing waits for the collector."""
        self.on_disconnect = self.on_pause = self.on_resume = _nothing


Handler = Callable[[Exchange], None]

"""One request and the writing of its response, whole or streamed."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from dynamo_cli.errors import DynamoError, Overloaded
from dynamo_cli.runtime.http.envelope import error_body
from dynamo_cli.runtime.http.request import Request

if TYPE_CHECKING:
    from dynamo_cli.runtime.http.connection import HttpConnection

JSON = b"application/json"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SSE = b"text/event-stream; charset=utf-8"
COMMENT = b":\n\n"
"""Says nothing between two events."""
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus} | {529: b"Site is overloaded"}


def _nothing() -> None: ...


def status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %s\r\n" % (status, _REASONS.get(status, b"Unknown"))


_OK_JSON = status_line(200) + b"content-type: application/json\r\ncontent-length: %d\r\n%s\r\n%s"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_date = (0, b"")


def date_line() -> bytes:
    """The Date header of now, made once a second. Not by strftime: that speaks the locale's language."""
    global _date
    now = int(time.time())
    if now != _date[0]:
        year, month, day, hour, minute, second, weekday, *_ = time.gmtime(now)
        text = f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{second:02} GMT"
        _date = (now, f"date: {text}\r\n".encode())
    return _date[1]


class Exchange:
    """Answer with `send`, or with `start`, `write` and `finish`. After the client has gone, writing does nothing.

    The callbacks are called from the event loop: `on_disconnect` once, if the client goes before the answer is
    complete; `on_pause` and `on_resume` when its socket stops and starts taking bytes.

    `status` is 0 until the answer has begun. `about`: what the handler knows of it, for whoever hears of its end.
    """

    __slots__ = (
        "_chunked",
        "_connection",
        "_events",
        "about",
        "on_disconnect",
        "on_pause",
        "on_resume",
        "request",
        "started",
        "status",
    )

    def __init__(self, connection: HttpConnection, request: Request) -> None:
        self._connection: HttpConnection | None = connection
        self.request = request
        self.started = False
        self.status = 0
        self.about: Any = None
        self._events = False
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
        self.status = status
        shown = b"" if self.request.method == "HEAD" else body
        extra = headers + self._common_headers(connection)
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

    def send_error(self, error: DynamoError, status: int | None = None, headers: bytes = b"") -> None:
        """In OpenAI's form; the status is the error's unless another one is given, or configured for it."""
        connection = self._connection
        if connection is None:
            return
        if status is None:
            status = connection.overload_status if isinstance(error, Overloaded) else error.status
        if error.retry_after_s is not None:
            headers += b"retry-after: %d\r\n" % error.retry_after_s
        self.send(status, error_body(error, status), headers=headers)

    def send_nothing(self, headers: bytes) -> None:
        """204, with these complete lines."""
        connection = self._connection
        if connection is None:
            return
        self.started = True
        self.status = 204
        connection.write(b"%b%b%b\r\n" % (status_line(204), headers, self._common_headers(connection)))
        self._complete(connection)

    def start(self, payload: bytes, last: bool = False, content_type: bytes = SSE) -> None:
        """Begin a stream; head and first payload (and the end, if it is the last) leave together."""
        connection = self._connection
        if connection is None:
            return
        self.started = True
        self.status = 200
        self._events = content_type is SSE
        if self._chunked:
            framing = b"transfer-encoding: chunked\r\n"
        else:
            framing, self.request.keep_alive = b"", False
        connection.write(
            b"%bcontent-type: %b\r\ncache-control: no-cache\r\n%b%b\r\n%b%b"
            % (
                status_line(200),
                content_type,
                framing,
                self._common_headers(connection),
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

    def nudge(self) -> None:
        """Send what says nothing, if there is such a thing now: an interim response, or a comment between events."""
        if self._connection is None:
            return
        if self._events:
            self._connection.write(self._frame(COMMENT))
        elif not self.started and self._chunked:
            self._connection.write(CONTINUE)

    def disconnected(self) -> None:
        """The connection is lost (called by the connection)."""
        connection = self._connection
        if connection is not None:
            self._connection = None
            on_disconnect = self.on_disconnect
            self._forget()
            on_disconnect()
            self._ended(connection)

    def give_up(self, error: DynamoError) -> None:
        """Answer with this, before anything was sent, and let whoever was to answer go."""
        on_disconnect = self.on_disconnect
        self._forget()
        on_disconnect()
        self.send_error(error)

    def _frame(self, payload: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(payload), payload) if self._chunked and payload else payload

    def _end(self) -> bytes:
        return b"0\r\n\r\n" if self._chunked else b""

    def _common_headers(self, connection: HttpConnection) -> bytes:
        request = self.request
        if connection.draining:
            request.keep_alive = False
        if not request.keep_alive:
            persistence = b"connection: close\r\n"
        else:
            persistence = b"" if self._chunked else b"connection: keep-alive\r\n"
        return b"%bx-request-id: %b\r\n%b%b" % (date_line(), request.id, request.extra, persistence)

    def _complete(self, connection: HttpConnection) -> None:
        self._connection = None
        self._forget()
        self._ended(connection)
        connection.completed(self)

    def _ended(self, connection: HttpConnection) -> None:
        if connection.on_ended is not None:
            connection.on_ended(self)
        self.about = None

    def _forget(self) -> None:
        """Let go of who answered: no reference cycles, so that nothing waits for the collector."""
        self.on_disconnect = self.on_pause = self.on_resume = _nothing


Handler = Callable[[Exchange], None]

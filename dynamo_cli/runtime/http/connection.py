"""One client connection: requests are answered in order, one exchange at a time."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, cast

from dynamo_cli.errors import Draining
from dynamo_cli.runtime.http.exchange import CONTINUE, Exchange
from dynamo_cli.runtime.http.peer import Progress, gone, peer_uid, reset
from dynamo_cli.runtime.http.reader import RequestReader
from dynamo_cli.runtime.http.refusal import refusal
from dynamo_cli.runtime.http.request import Request

if TYPE_CHECKING:
    from dynamo_cli.runtime.http.server import HttpServer

LOOK_S, LOOK_GROWTH = 0.01, 1.5
"""How long after a client stopped sending it is looked for, and how much longer each look waits than the one before."""


class HttpConnection(asyncio.Protocol):
    """`trusted`: accepted on the private admin socket."""

    def __init__(self, server: HttpServer, trusted: bool) -> None:
        self._server = server
        self._limits = server.limits
        self.on_ended = server.on_ended
        self._trusted = trusted
        self._reader = RequestReader(server.limits, trusted, None if trusted else server.admit)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._deaf = False
        self._writing_paused = False
        self._reading_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._ending = False
        self._progress = Progress()
        self.requests = 0
        self.heard_at = time.monotonic()

    @property
    def exchange(self) -> Exchange | None:
        """The one that is being answered."""
        return self._exchange

    @property
    def draining(self) -> bool:
        return self._server.draining

    @property
    def overload_status(self) -> int:
        return self._limits.overload_status

    @property
    def busy(self) -> bool:
        return self._exchange is not None or bool(self._reader.complete)

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
        self._reader.close()
        if self._timer is not None:
            self._timer.cancel()
        self._server.connections.discard(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.disconnected()
        self._server.progress()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self.heard_at = time.monotonic()
        reader = self._reader
        reader.feed(data, self.heard_at)
        if reader.refusal is not None:
            self._deaf = True
        elif len(reader.complete) > self._limits.pipelined:
            self._pause_reading()
        self._serve_next()

    def eof_received(self) -> bool:
        """The client sends no more. What it has asked for it still gets, unless it is gone altogether."""
        transport, complete = self._transport, self._reader.complete
        if transport is None or not transport.can_write_eof() or gone(transport):
            return False
        while self._exchange is None and complete:
            self._serve_next()
        if self._exchange is None:
            return False
        self._deaf = True
        last = complete[-1] if complete else self._exchange.request
        last.keep_alive = False
        self._look(LOOK_S)
        return True

    def pause_writing(self) -> None:
        self._writing_paused = True
        if self._exchange is not None:
            self._exchange.on_pause()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._exchange is not None:
            self._exchange.on_resume()

    # answering

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def completed(self, exchange: Exchange) -> None:
        """The exchange has written its whole response."""
        self._exchange = None
        self.heard_at = time.monotonic()
        reader = self._reader
        if self._ending:
            self._linger()
        elif not exchange.request.keep_alive:
            self.close()
        elif reader.complete or reader.refusal is not None or reader.expects:
            asyncio.get_running_loop().call_soon(self._serve_next)
        elif self.draining:
            self.close()
        self._server.progress()

    def close(self) -> None:
        """Close once what was written has left."""
        self._deaf = True
        self._reader.complete.clear()
        if self._transport is not None:
            self._transport.close()

    def give_up(self) -> None:
        """Close at once. Who still waits for an answer is told so; one that has begun breaks off."""
        exchange = self._exchange
        if exchange is None or exchange.started:
            self.abort()
            return
        self._reader.complete.clear()
        exchange.request.keep_alive = False
        exchange.give_up(Draining("the server stops, and the answer was not ready in time"))

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def check(self, now: float) -> None:
        """End what takes too long. `now` is of time.monotonic."""
        transport, limits = self._transport, self._limits
        if transport is None:
            return
        if transport.get_write_buffer_size():
            if self._progress.still_s(transport, now) > limits.write_s:
                reset(transport)
            return
        self._progress.forget()
        if self.busy or self._reader.refusal is not None:
            return
        if self._reader.receiving:
            if late := self._reader.overdue(now):
                self._deaf = True
                self._reader.refusal = refusal(408, f"the {late} of the request took too long")
                self._serve_next()
        elif now - self.heard_at > limits.idle_s:
            self.close()

    def _serve_next(self) -> None:
        reader = self._reader
        if self._exchange is not None or self._transport is None:
            return
        if not reader.complete:
            self._answer_the_end()
            return
        request = reader.complete.popleft()
        if self._reading_paused and len(reader.complete) < self._limits.pipelined:
            self._reading_paused = False
            reader.began_at = time.monotonic()  # the wait was ours
            self._transport.resume_reading()
        self.requests += 1
        exchange = self._exchange = Exchange(self, request)
        self._server.handle(exchange)
        if self._writing_paused and self._exchange is exchange:
            exchange.on_pause()

    def _answer_the_end(self) -> None:
        """All that could be served is: the request behind it is refused, or its client waits for a 100."""
        reader = self._reader
        if reader.refusal is not None and not self._ending:
            self._ending = True
            request = reader.refused or Request("GET", "", {}, "1.1", self._trusted)
            request.keep_alive = False
            Exchange(self, request).send_error(*reader.refusal)
        elif reader.expects:
            reader.expects = False
            reader.began_at = time.monotonic()  # the wait was ours
            self.write(CONTINUE)

    def _linger(self) -> None:
        """Swallow what the client still sends of a refused request: a reset would destroy the answer on its way."""
        transport = self._transport
        if transport is None:
            return
        self._timer = asyncio.get_running_loop().call_later(self._limits.linger_s, self.close)
        if transport.can_write_eof():
            transport.write_eof()

    def _look(self, wait_s: float) -> None:
        """Whether a client that sends no more still listens: one that is gone answers what it is sent with a reset."""
        transport, exchange = self._transport, self._exchange
        if transport is None or exchange is None:
            return
        if gone(transport):
            transport.abort()
            return
        exchange.nudge()
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look, wait_s * LOOK_GROWTH)

    def _pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

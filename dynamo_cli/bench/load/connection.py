"""Keep-alive HTTP/1.1 connections to the measured server, each with at most one request in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import cast
from urllib.parse import urlsplit

from dynamo_cli.bench.sample import Ask, Collector, Sample
from dynamo_cli.bench.target import Address, tls_context
from dynamo_cli.runtime.http.response import BrokenResponse


class Connection(asyncio.Protocol):
    """Reads answers on the spot, in `data_received`: a task in between would add to the times."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._collector: Collector | None = None
        self._answer: asyncio.Future[Sample] | None = None

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def request(self, data: bytes, timeout_s: float, ask: Ask | None = None) -> Awaitable[Sample]:
        """Send one prebuilt request. The sample says what went wrong; nothing is raised."""
        loop = asyncio.get_running_loop()
        self._answer = answer = loop.create_future()
        timer = loop.call_later(timeout_s, self._give_up, "timeout")
        answer.add_done_callback(lambda _: timer.cancel())
        self._collector = Collector(time.perf_counter(), ask)
        if self._transport is None:
            self._give_up("connection lost", "closed by the server")
        else:
            self._transport.write(data)
        return answer

    def data_received(self, data: bytes) -> None:
        collector = self._collector
        if collector is None:
            return
        now = time.perf_counter()
        try:
            complete = collector.feed(data, now)
        except BrokenResponse as error:
            self._give_up("broken HTTP", str(error))
            return
        if complete or collector.sample.cancelled:
            self._finish(collector, now)

    def connection_lost(self, exc: Exception | None) -> None:
        collector = self._collector
        if collector is not None and collector.response.close():
            self._finish(collector, time.perf_counter())
        else:
            self._give_up("connection lost", str(exc or "closed by the server"))
        self._transport = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _finish(self, collector: Collector, now: float) -> None:
        self._collector = None
        sample = collector.finish(now)
        if sample.cancelled or not collector.response.keep_alive:
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(sample)

    def _give_up(self, error: str, detail: str = "") -> None:
        collector, self._collector = self._collector, None
        self.close()
        if collector is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(collector.fail(error, detail, time.perf_counter()))


class Connections:
    """As many as are needed at a time; the one that was last used is used first. Names of `headers` in lower case."""

    def __init__(self, address: Address, path: str, headers: Mapping[str, str]) -> None:
        self._address = address
        fields = {"host": urlsplit(address.url).netloc, "content-type": "application/json", **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._head = f"POST {address.prefix}{path} HTTP/1.1\r\n{lines}Content-Length: ".encode()
        self._tls = tls_context() if address.tls else None
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()

    def request(self, body: bytes) -> bytes:
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)

    async def take(self, timeout_s: float) -> Connection:
        """Raises OSError or asyncio.TimeoutError."""
        connection = self._idle_one() or await self._connect(timeout_s)
        self._busy.add(connection)
        return connection

    def give(self, connection: Connection) -> None:
        self._busy.discard(connection)
        if connection.usable:
            self._idle.append(connection)

    def close(self) -> None:
        for connection in [*self._idle, *self._busy]:
            connection.close()

    def _idle_one(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    async def _connect(self, timeout_s: float) -> Connection:
        address = self._address
        opening = asyncio.get_running_loop().create_connection(Connection, address.host, address.port, ssl=self._tls)
        _, connection = await asyncio.wait_for(opening, timeout_s)
        return connection

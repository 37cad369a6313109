"""The closed loop: N connections, each with one request in flight, until all requests are sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import cast

from dynamo_cli.bench.sample import Collector, Sample
from dynamo_cli.bench.target import Address
from dynamo_cli.runtime.http.response import BrokenResponse

Open = Callable[[], Awaitable["Connection"]]


class Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection with at most one request in flight."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._collector: Collector | None = None
        self._answer: asyncio.Future[Sample] | None = None

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def request(self, data: bytes, timeout_s: float) -> Awaitable[Sample]:
        """Send one prebuilt request. The sample says what went wrong; nothing is raised."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._answer = answer = loop.create_future()
        timer = loop.call_later(timeout_s, self._give_up, "timeout")
        answer.add_done_callback(lambda _: timer.cancel())
        self._collector = Collector(time.perf_counter())
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
        if complete:
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
        if not collector.response.keep_alive:
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(sample)

    def _give_up(self, error: str, detail: str = "") -> None:
        collector, self._collector = self._collector, None
        self.close()
        if collector is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(collector.fail(error, detail))


async def closed_loop(
    address: Address, bodies: Sequence[bytes], *, concurrency: int, timeout_s: float, path: str = "/v1/chat/completions"
) -> list[Sample]:
    """Send every body, at most `concurrency` at a time, each lane on its own connection."""
    requests = iter([http_request(address, path, body) for body in bodies])
    samples: list[Sample] = []
    lanes = min(concurrency, len(bodies))
    await asyncio.gather(*(_lane(address, requests, samples, timeout_s) for _ in range(lanes)))
    return samples


async def _lane(address: Address, requests: Iterator[bytes], samples: list[Sample], timeout_s: float) -> None:
    connection: Connection | None = None
    try:
        for data in requests:
            if connection is None or not connection.usable:
                try:
                    connection = await _connect(address, timeout_s)
                except (OSError, asyncio.TimeoutError) as error:
                    samples.append(Sample(error="cannot connect", detail=str(error) or type(error).__name__))
                    continue
            samples.append(await connection.request(data, timeout_s))
    finally:
        if connection is not None:
            connection.close()


async def _connect(address: Address, timeout_s: float) -> Connection:
    loop = asyncio.get_running_loop()
    opening = loop.create_connection(Connection, address.host, address.port, ssl=address.tls or None)
    _, connection = await asyncio.wait_for(opening, timeout_s)
    return connection


def http_request(address: Address, path: str, body: bytes) -> bytes:
    head = (
        f"POST {address.prefix}{path} HTTP/1.1\r\nHost: {address.host}:{address.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body

"""What the machine itself takes for paced streams: a bare server that does only the reads and the writes.

A worker sends one small frame a step; the server answers each with one write to every stream, as a frontend must: a
token that waits for the next one comes late. No HTTP, no JSON, no tokens.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import uvloop

from dynamo_cli.bench.cpu import usage

STREAMS = 8
STEP_S = 0.006
FRAME = b"x" * 112
CHUNK = b"data: " + b"x" * 220 + b"\n\n"


class _Streams(asyncio.Protocol):
    """The server's end of the streams."""

    def __init__(self, streams: list[asyncio.WriteTransport]) -> None:
        self._streams = streams

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.WriteTransport, transport)
        self._streams.append(stream)
        stream.write(CHUNK)


class _Worker(asyncio.Protocol):
    """The server's end of the worker."""

    def __init__(self, streams: list[asyncio.WriteTransport]) -> None:
        self._streams = streams
        self._bytes = 0

    def data_received(self, data: bytes) -> None:
        steps, self._bytes = divmod(self._bytes + len(data), len(FRAME))
        for stream in self._streams:
            stream.write(CHUNK * steps)


class _Reader(asyncio.Protocol):
    """The client's end of a stream."""

    def __init__(self, chunks: int) -> None:
        self._left = chunks * len(CHUNK)
        self.begun, self.done = asyncio.Event(), asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.begun.set()
        self._left -= len(data)
        if self._left <= 0:
            self.done.set()


async def _serve() -> None:
    """Print the two ports, then serve until killed."""
    loop = asyncio.get_running_loop()
    streams: list[asyncio.WriteTransport] = []
    servers = [
        await loop.create_server(lambda: _Streams(streams), "127.0.0.1", 0),
        await loop.create_server(lambda: _Worker(streams), "127.0.0.1", 0),
    ]
    ports = [str(server.sockets[0].getsockname()[1]) for server in servers]
    sys.stdout.write(" ".join(ports) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


async def _measure(steps: int) -> float:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __spec__.name, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    assert server.stdout is not None
    try:
        ports = [int(port) for port in (await server.stdout.readline()).split()]
        loop = asyncio.get_running_loop()
        readers = [
            await loop.create_connection(lambda: _Reader(steps + 1), "127.0.0.1", ports[0]) for _ in range(STREAMS)
        ]
        worker, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", ports[1])
        for _, reader in readers:
            await reader.begun.wait()
        before, start = usage(server.pid).cpu_s, time.monotonic()
        for step in range(steps):
            await asyncio.sleep(max(0.0, start + step * STEP_S - time.monotonic()))
            worker.write(FRAME)
        for _, reader in readers:
            await reader.done.wait()
        used = usage(server.pid).cpu_s - before
        for transport, _ in readers:
            transport.close()
        worker.close()
        return used
    finally:
        server.kill()
        await server.wait()


def paced_floor_cpu_s(steps: int) -> float:
    """CPU seconds of 100,000 writes."""
    return uvloop.run(_measure(steps)) / (steps * STREAMS) * 100_000


if __name__ == "__main__":
    uvloop.run(_serve())

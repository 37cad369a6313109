"""HTTP/1.1 to a unix socket or a port, one connection per request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType

from dynamo_cli.runtime.http.response import BrokenResponse, Response

READ_SIZE = 1 << 18


class Answer:
    """A response whose head has arrived. Closing it early tells the server that nobody listens any more."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._response = Response()
        self._first = b""

    @property
    def status(self) -> int:
        return self._response.status

    async def head(self) -> None:
        """Wait for the status. ConnectionError when the server breaks off or speaks no HTTP."""
        while not self.status:
            self._first += await self._receive()

    async def read_some(self) -> bytes:
        """What has arrived of the body, at least one byte; empty at its end. ConnectionError when it is cut off."""
        body, self._first = self._first, b""
        while not body and not self._response.done:
            body = await self._receive()
        return body

    async def read(self) -> bytes:
        """The rest of the body."""
        parts = []
        while part := await self.read_some():
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        """Idempotent; a reader that waits gets ConnectionError."""
        self._writer.transport.abort()

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _receive(self) -> bytes:
        data = await self._reader.read(READ_SIZE)
        try:
            if data:
                return self._response.feed(data)
        except BrokenResponse as error:
            raise ConnectionError(f"not HTTP: {error}") from None
        if not self._response.close():
            raise ConnectionError("the connection was closed before the answer was complete")
        return b""


async def request(
    server: str | tuple[str, int],
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """Send a request to a socket's path or to (host, port) and wait for the head of its answer.

    OSError when nobody answers there.
    """
    name = "localhost" if isinstance(server, str) else f"{server[0]}:{server[1]}"
    lines = [f"{method} {path} HTTP/1.1", f"host: {name}", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if isinstance(server, str):
        reader, writer = await asyncio.open_unix_connection(server, limit=READ_SIZE)
    else:
        reader, writer = await asyncio.open_connection(*server, limit=READ_SIZE)
    answer = Answer(reader, writer)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await answer.head()
    except BaseException:
        answer.close()
        raise
    return answer

"""Raw bytes to a server and what came back, for the tests of HTTP itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from dynamo_cli.errors import Overloaded
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.http.limits import Limits
from dynamo_cli.runtime.http.listener import bind
from dynamo_cli.runtime.http.refusal import Refusal, refusal
from dynamo_cli.runtime.http.request import Request
from dynamo_cli.runtime.http.server import HttpServer

LIMITS = Limits(
    uri=500, head=2000, headers=20, body=5000, pipelined=2, head_s=0.2, body_s=0.2, idle_s=0.6, linger_s=0.05
)
SILENCE_S = 0.15


def answer(exchange: Exchange) -> None:
    """Says what it understood."""
    request = exchange.request
    if request.path == "/overloaded":
        raise Overloaded("too much")
    if request.path == "/broken":
        raise ZeroDivisionError
    if request.path == "/stream":
        exchange.start(b"one")
        exchange.write(b"two")
        exchange.finish(b"three")
    elif request.path == "/later":
        asyncio.get_running_loop().call_later(0.02, exchange.send, 200, request.body)
    elif request.path == "/slow":
        asyncio.get_running_loop().call_later(LIMITS.head_s + LIMITS.body_s + 0.2, exchange.send, 200, request.body)
    elif request.path == "/headers":
        exchange.send_json({name.decode(): value.decode("latin-1") for name, value in request.headers.items()})
    else:
        exchange.send(200, b"<%b %b %b>" % (request.method.encode(), request.path.encode(), request.body))


def admit(request: Request) -> Refusal | None:
    return refusal(401, "no entry") if request.path == "/private" else None


class Answer(NamedTuple):
    """`interim`: how many 100s came before it."""

    status: int
    headers: dict[str, str]
    body: bytes
    interim: int = 0

    @property
    def error(self) -> dict[str, Any]:
        """The inner object of an error in OpenAI's form."""
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return dict(error)


class Talk:
    """A connection to a server of this test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *pieces: bytes, pause_s: float = 0.001) -> None:
        """Each on its own."""
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(pause_s)
            self.writer.write(piece)

    async def rest(self, timeout_s: float = 5.0) -> tuple[bytes, bool]:
        """What comes until the server closes or says nothing for SILENCE_S, and whether it closed."""
        received, wait_s = b"", timeout_s
        while True:
            try:
                chunk = await asyncio.wait_for(self.reader.read(1 << 16), wait_s)
            except asyncio.TimeoutError:
                return received, False
            except ConnectionError:
                return received, True
            if not chunk:
                return received, True
            received, wait_s = received + chunk, SILENCE_S


class Talks:
    """Opens connections to a server, and closes them with it."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self._open: list[Talk] = []

    async def connect(self) -> Talk:
        listener = bind("127.0.0.1", 0)
        self.server.listen(listener)
        self._open.append(Talk(*await asyncio.open_connection(*listener.getsockname())))
        return self._open[-1]

    async def close(self) -> None:
        for talk in self._open:
            talk.writer.close()
            with contextlib.suppress(ConnectionError):
                await talk.writer.wait_closed()
        await self.server.close()
        assert not self.server.connections


def split(received: bytes, head_only: bool = False) -> list[Answer]:
    """The answers in what was received; fails for bytes that are none."""
    answers, interim = [], 0
    while received:
        head, separator, received = received.partition(b"\r\n\r\n")
        assert separator, head
        first, *lines = head.decode().split("\r\n")
        found = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z' -]+", first)
        assert found, first
        status = int(found[1])
        if status == 100:
            interim += 1
            continue
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body, received = _body(headers, received, head_only or status == 204)
        answers.append(Answer(status, headers, body, interim))
        interim = 0
    return answers


def _body(headers: dict[str, str], received: bytes, none: bool) -> tuple[bytes, bytes]:
    if none:
        return b"", received
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            size, _, received = received.partition(b"\r\n")
            length = int(size, 16)
            body, received = body + received[:length], received[length + 2 :]
            if not length:
                return body, received
    if "content-length" in headers:
        length = int(headers["content-length"])
        assert len(received) >= length
        return received[:length], received[length:]
    return received, b""


def post(path: str, body: bytes, extra: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n%b" % (path.encode(), extra, len(body), body)


def get(path: str = "/x", extra: bytes = b"", version: bytes = b"1.1", method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/%b\r\nhost: x\r\n%b\r\n" % (method, path.encode(), version, extra)


async def until(reached: Callable[[], Any], timeout_s: float = 5.0) -> None:
    async def wait() -> None:
        while not reached():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(wait(), timeout_s)

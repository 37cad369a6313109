from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import Overloaded
from dynamo_cli.runtime.http.connection import HttpConnection
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.http.limits import Limits
from dynamo_cli.runtime.http.listener import bind
from dynamo_cli.runtime.http.server import HttpServer
from tests.runtime.waiting import until

LIMITS = Limits(head=2000, body=5000, pipelined=2, idle_s=60.0, linger_s=0.05)


def answer(exchange: Exchange) -> None:
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
        asyncio.get_running_loop().call_later(0.01, exchange.send, 200, request.body)
    else:
        exchange.send(200, request.method.encode() + b" " + request.path.encode() + b" " + request.body)


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    server = HttpServer(answer, LIMITS)
    yield server
    await server.close()


async def talk(server: HttpServer, data: bytes, *, until_closed: bool = False) -> bytes:
    """Send, and read what comes in a quarter of a second (or until the server closes)."""
    listener = bind("127.0.0.1", 0)
    server.listen(listener)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(data)
    received = b""
    try:
        while chunk := await asyncio.wait_for(reader.read(1 << 16), 5.0 if until_closed else 0.25):
            received += chunk
    except asyncio.TimeoutError:
        assert not until_closed
    writer.close()
    return received


def post(path: str, body: bytes, extra: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n%b" % (path.encode(), extra, len(body), body)


async def test_pipelined_requests_are_answered_in_order(server: HttpServer) -> None:
    received = await talk(server, post("/later", b"first") + post("/b%20c?q=1", b"second") + post("/stream", b""))
    first, rest = received.split(b"first", 1)
    _, stream = rest.split(b"POST /b c second", 1)
    assert b"content-length: 5" in first
    assert b"transfer-encoding: chunked" in stream
    assert stream.endswith(b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n")


async def test_more_pipelined_requests_than_the_limit_wait_their_turn(server: HttpServer) -> None:
    received = await talk(server, b"".join(post("/later", b"<%d>" % number) for number in range(9)))
    assert [received.count(b"<%d>" % number) for number in range(9)] == [1] * 9


async def test_errors_of_the_handler_are_answered(server: HttpServer, caplog: pytest.LogCaptureFixture) -> None:
    assert (await talk(server, post("/overloaded", b""))).startswith(b"HTTP/1.1 529")
    received = await talk(server, post("/broken", b"") + post("/x", b"next"))
    assert received.startswith(b"HTTP/1.1 500")
    assert b"POST /x next" in received
    assert "ZeroDivisionError" in caplog.text


async def test_draining_finishes_what_runs_and_closes(server: HttpServer) -> None:
    listener = bind("127.0.0.1", 0)
    address = listener.getsockname()
    server.listen(listener)
    idle_reader, idle = await asyncio.open_connection(*address)
    idle.write(post("/x", b""))
    await idle_reader.readuntil(b"POST /x ")
    reader, writer = await asyncio.open_connection(*address)
    writer.write(post("/later", b"done"))
    while not any(connection.busy for connection in server.connections):
        await asyncio.sleep(0.001)
    await server.drain(5.0)
    assert (await reader.read(-1)).endswith(b"done")
    assert await idle_reader.read(-1) == b""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)
    writer.close()
    idle.close()


async def test_retiring_answers_who_asks_again_and_waits_for_what_runs() -> None:
    held: list[Exchange] = []

    def hold_some(exchange: Exchange) -> None:
        held.append(exchange) if exchange.request.path == "/held" else answer(exchange)

    server = HttpServer(hold_some, LIMITS)
    listener = bind("127.0.0.1", 0)
    server.listen(listener)
    readers = []
    for path in ("/held", "/x"):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(post(path, b""))
        readers.append((reader, writer))
    (held_reader, _), (reader, writer) = readers
    await reader.readuntil(b"POST /x ")
    await until(lambda: held)
    retiring = asyncio.create_task(server.retire())
    await until(lambda: server.draining)
    writer.write(post("/again", b""))
    received = await reader.read(-1)
    assert b"connection: close" in received.lower() and received.endswith(b"POST /again ")
    assert not retiring.done()
    held[0].send(200, b"done")
    assert (await held_reader.read(-1)).endswith(b"done")
    await retiring
    await server.close()
    for _, writer in readers:
        writer.close()


async def test_who_still_waits_when_the_server_closes_is_told_so() -> None:
    held: list[Exchange] = []
    left: list[str] = []
    listener = bind("127.0.0.1", 0)
    server = HttpServer(lambda exchange: held.append(exchange), LIMITS)
    server.listen(listener)
    talks = [await asyncio.open_connection(*listener.getsockname()) for _ in range(2)]
    for count, (_, writer) in enumerate(talks, 1):
        writer.write(post("/x", b""))
        await until(lambda count=count: len(held) == count)  # type: ignore[misc]
    waiting, begun = held
    begun.start(b"data: 1\n\n")
    waiting.on_disconnect = lambda: left.append("waiting")
    begun.on_disconnect = lambda: left.append("begun")
    await server.close()
    received = await talks[0][0].read(-1)
    assert received.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1\r\n" in received
    assert b"connection: close\r\n" in received and b"the server stops" in received
    broken_off = await talks[1][0].read(-1)
    assert b"data: 1" in broken_off and not broken_off.endswith(b"0\r\n\r\n")
    assert sorted(left) == ["begun", "waiting"] and not waiting.open
    for _, writer in talks:
        writer.close()


async def test_who_connected_before_draining_and_asks_then_is_answered_and_closed() -> None:
    held: list[Exchange] = []
    listener = bind("127.0.0.1", 0)
    server = HttpServer(lambda exchange: held.append(exchange), LIMITS)
    server.listen(listener)
    silent_reader, silent = await asyncio.open_connection(*listener.getsockname())
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(post("/x", b""))
    await until(lambda: held and len(server.connections) == 2)
    draining = asyncio.create_task(server.drain(5.0))
    await until(lambda: server.draining)
    silent.write(post("/y", b""))
    await until(lambda: len(held) == 2)
    for exchange in held:
        exchange.send(200, b"{}")
    await draining
    for answered in (reader, silent_reader):
        received = await answered.read(-1)
        assert received.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in received
    for one in (writer, silent):
        one.close()


class Written:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@given(st.lists(st.integers(1, 60), max_size=30))
def test_requests_are_the_same_however_their_bytes_arrive(cuts: list[int]) -> None:
    async def serve(cuts: list[int]) -> bytes:
        transport = Written()
        connection = HttpConnection(HttpServer(answer, LIMITS), trusted=False)
        connection.connection_made(transport)  # type: ignore[arg-type]
        data = post("/a", b"one") + post("/stream", b"") + b"GET /c HTTP/1.1\r\nhost: x\r\n\r\n"
        for cut in [*cuts, len(data)]:
            piece, data = data[:cut], data[cut:]
            connection.data_received(piece)
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        return re.sub(rb"(date|x-request-id): [^\r]*", rb"\1: ", transport.data)

    assert asyncio.run(serve(cuts)) == asyncio.run(serve([]))

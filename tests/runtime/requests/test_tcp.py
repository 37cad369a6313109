"""What is particular to TCP: proof of the token, and connections that die or fall silent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from dynamo_cli.errors import (
    CannotConnect,
    Disconnected,
    DynamoError,
    ResourceMissing,
    ResponseTimeout,
    StreamIncomplete,
    Unauthorized,
)
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.links import client as links_client
from dynamo_cli.runtime.links import server as links_server
from dynamo_cli.runtime.links.auth import new_hello, prove
from dynamo_cli.runtime.links.frames import Error, FrameReader, Hello, Welcome, encode_frame
from dynamo_cli.runtime.links.link import host_and_port
from dynamo_cli.runtime.requests import client_link, serving, tcp_client, tcp_server
from dynamo_cli.runtime.requests.frames import Ping, Request, decode_frame
from dynamo_cli.runtime.requests.tcp import TcpRequestClient, TcpRequestServer
from tests.runtime.requests.test_contract import NAME, TOKEN, Endless, Sink, count
from tests.runtime.waiting import until

SERVE = """
import asyncio, sys, time
from dynamo_cli.runtime.requests.tcp import TcpRequestServer
async def handler(request, context):
    yield 0
    if request == "block":
        time.sleep(0.8)
    else:
        await asyncio.sleep(60)
    yield 1
async def main():
    server = await TcpRequestServer.listen(b"secret")
    server.add("dynamo.backend.generate", handler)
    print(server.address, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture
async def server() -> AsyncIterator[TcpRequestServer]:
    made = await TcpRequestServer.listen(TOKEN)
    made.add(NAME, count)
    yield made
    await made.close()


@pytest.fixture
async def client() -> AsyncIterator[TcpRequestClient]:
    made = TcpRequestClient(TOKEN)
    yield made
    await made.close()


@pytest.fixture
def worker() -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()


class Peer:
    """A hand-made connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._stream = reader
        self._writer = writer
        self._frames = FrameReader()
        self._ready: list[Any] = []

    def send(self, data: bytes | bytearray) -> None:
        self._writer.write(data)

    async def receive(self) -> Any:
        """The next frame; None when the connection is over."""
        while not self._ready:
            data = b""
            with contextlib.suppress(ConnectionError):
                data = await asyncio.wait_for(self._stream.read(65536), 5)
            if not data:
                return None
            self._ready += [decode_frame(frame) for frame in self._frames.feed(data)]
        return self._ready.pop(0)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


@contextlib.asynccontextmanager
async def connection(server: TcpRequestServer) -> AsyncIterator[Peer]:
    peer = Peer(*await asyncio.open_connection(*host_and_port(server.address)))
    try:
        yield peer
    finally:
        await peer.close()


def request() -> bytearray:
    return encode_frame(Request(1, NAME, "r1", 3))  # type: ignore[arg-type]


async def ask(client: TcpRequestClient, address: str, what: Any = 3) -> Sink:
    sink = Sink()
    client.send(address, NAME, what, sink, request_id="r1")
    await until(lambda: sink.over)
    return sink


async def test_a_peer_with_the_token_is_welcome(server: TcpRequestServer) -> None:
    async with connection(server) as peer:
        hello = await peer.receive()
        peer.send(encode_frame(prove(TOKEN, hello, "requests")))
        assert isinstance(await peer.receive(), Welcome)
        peer.send(request())
        assert await peer.receive() is not None


async def test_a_request_without_proof_is_refused_and_not_run(server: TcpRequestServer) -> None:
    async with connection(server) as peer:
        assert isinstance(await peer.receive(), Hello)
        peer.send(request() + request())
        assert (await peer.receive()).code == "unauthorized"
        assert await peer.receive() is None
    assert server.inflight() == 0


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, bytes(64), b"\x00\x00\x00\x02\x92\xc1"])
async def test_garbage_is_cut_off_at_once(server: TcpRequestServer, garbage: bytes) -> None:
    async with connection(server) as peer:
        await peer.receive()
        peer.send(garbage)
        assert await peer.receive() is None


async def test_a_proof_for_another_connection_does_not_count(server: TcpRequestServer) -> None:
    async with connection(server) as peer:
        await peer.receive()
        peer.send(encode_frame(prove(TOKEN, new_hello(), "requests")))
        assert isinstance(await peer.receive(), Error)
        assert await peer.receive() is None


async def test_a_peer_that_says_nothing_is_cut_off_in_time(
    server: TcpRequestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_server, "HANDSHAKE_S", 0.1)
    async with connection(server) as peer:
        assert isinstance(await peer.receive(), Hello)
        assert await peer.receive() is None


async def test_connections_without_proof_are_bounded(
    server: TcpRequestServer, client: TcpRequestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_server, "_MAX_UNPROVED", 2)
    async with connection(server) as one, connection(server) as two, connection(server) as three:
        assert isinstance(await one.receive(), Hello)
        assert isinstance(await two.receive(), Hello)
        assert await three.receive() is None
    await until(lambda: not server.listener.unproved)
    assert (await ask(client, server.address)).ended


async def test_a_client_with_another_token_is_unauthorized(server: TcpRequestServer) -> None:
    stranger = TcpRequestClient(b"another")
    sink = await ask(stranger, server.address)
    assert isinstance(sink.error, Unauthorized)
    assert not await stranger.probe(server.address)
    assert server.inflight() == 0
    await stranger.close()


async def test_a_server_without_the_token_gets_no_request(client: TcpRequestClient) -> None:
    heard = bytearray()

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode_frame(new_hello()))
        heard.extend(await reader.read(65536))
        writer.write(encode_frame(Welcome(bytes(32))))
        heard.extend(await reader.read())
        writer.close()

    listener = await asyncio.start_server(impostor, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    sink = await ask(client, f"tcp://127.0.0.1:{port}", "private prompt")
    assert isinstance(sink.error, Unauthorized)
    assert b"private" not in heard and TOKEN not in heard
    listener.close()
    await listener.wait_closed()


async def test_a_server_of_another_kind_is_unauthorized_or_unreachable(client: TcpRequestClient) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(web, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    assert isinstance((await ask(client, f"tcp://127.0.0.1:{port}")).error, Unauthorized | CannotConnect)
    listener.close()
    await listener.wait_closed()


async def test_a_server_that_never_answers_cannot_be_connected(
    client: TcpRequestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_client, "HANDSHAKE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = await ask(client, f"tcp://127.0.0.1:{silent.getsockname()[1]}")
    assert isinstance(sink.error, CannotConnect) and "does not answer" in str(sink.error)


@pytest.mark.parametrize("host", ["a..b", "a" * 80, "\udc80"])
async def test_what_cannot_be_the_name_of_a_host_cannot_be_connected(client: TcpRequestClient, host: str) -> None:
    assert isinstance((await ask(client, f"tcp://{host}:80")).error, CannotConnect)


async def test_a_wildcard_stands_for_this_hosts_name_which_needs_an_address(
    client: TcpRequestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(name: str) -> str:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "gethostbyname", lambda name: "127.0.0.1")
    server = await TcpRequestServer.listen(TOKEN, "0.0.0.0")
    server.add(NAME, count)
    monkeypatch.setattr(socket, "gethostbyname", unknown)
    assert (await ask(client, server.address)).ended
    await server.close()
    with pytest.raises(ResourceMissing, match=r"which has none \(Name or service not known\): set DYN_TCP_RPC_HOST"):
        await TcpRequestServer.listen(TOKEN, "0.0.0.0")


async def test_a_connection_is_made_once_and_again_after_a_loss(
    server: TcpRequestServer, client: TcpRequestClient
) -> None:
    for _ in range(3):
        assert (await ask(client, server.address)).ended
    assert len(server.links) == 1
    next(iter(server.links)).close("test")
    assert not server.links
    await until(lambda: not client._links)
    assert (await ask(client, server.address)).ended


async def test_a_killed_worker_ends_its_streams(
    client: TcpRequestClient, worker: tuple[subprocess.Popen[str], str]
) -> None:
    process, address = worker
    states: list[tuple[str, str, str]] = []
    client.on_peer(lambda *what: states.append(what))
    begun = Sink()
    client.send(address, NAME, "wait", begun, request_id="")
    await until(lambda: begun.frames)
    os.kill(process.pid, signal.SIGKILL)
    await until(lambda: begun.over)
    assert isinstance(begun.error, StreamIncomplete | Disconnected)
    assert states == [(address, "", "lost")]
    assert isinstance((await ask(client, address)).error, CannotConnect)


async def test_a_stopped_worker_is_noticed_by_its_silence(
    client: TcpRequestClient, worker: tuple[subprocess.Popen[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_link, "PING_S", 0.1)
    process, address = worker
    happened: list[str] = []
    client.on_peer(lambda address, endpoint, state: happened.append(state))

    class Retrying(Sink):
        def on_error(self, error: DynamoError) -> None:
            happened.append(error.code)
            super().on_error(error)

    sink = Retrying()
    client.send(address, NAME, "wait", sink, request_id="")
    await until(lambda: sink.frames)
    await asyncio.sleep(0.3)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        await until(lambda: sink.over)
        assert isinstance(sink.error, ResponseTimeout)
        assert happened == ["lost", "response_timeout"]
        monkeypatch.setattr(links_client, "HANDSHAKE_S", 0.2)
        assert not await client.probe(address)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    monkeypatch.setattr(links_client, "HANDSHAKE_S", 5.0)
    assert await client.probe(address)


async def test_a_worker_with_a_busy_loop_is_not_given_up(
    client: TcpRequestClient, worker: tuple[subprocess.Popen[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_link, "PING_S", 0.1)
    _, address = worker
    first = Sink()
    stream = client.send(address, NAME, "wait", first, request_id="")
    await until(lambda: first.frames)
    await asyncio.sleep(0.3)  # the heartbeat's own connection is there
    sink = Sink()
    client.send(address, NAME, "block", sink, request_id="")
    await until(lambda: sink.over)
    assert sink.ended and sink.answers == [0, 1]
    assert not first.over
    stream.cancel()


async def test_a_client_with_a_busy_loop_gives_up_nobody(
    client: TcpRequestClient, worker: tuple[subprocess.Popen[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_link, "PING_S", 0.05)
    _, address = worker
    sink = Sink()
    stream = client.send(address, NAME, "wait", sink, request_id="")
    await until(lambda: sink.frames)
    for _ in range(4):
        time.sleep(0.3)
        await asyncio.sleep(0.01)
    assert not sink.over
    stream.cancel()


async def test_a_heartbeat_connection_answers_pings_only(server: TcpRequestServer) -> None:
    async with connection(server) as peer:
        peer.send(encode_frame(prove(TOKEN, await peer.receive(), "heartbeat")))
        assert isinstance(await peer.receive(), Welcome)
        peer.send(encode_frame(Ping(7)) + encode_frame(Ping(8)))
        assert [(await peer.receive()).number for _ in range(2)] == [7, 8]
        peer.send(request())
        assert await peer.receive() is None
    assert server.inflight() == 0


async def test_requests_in_flight_are_bounded(
    server: TcpRequestServer, client: TcpRequestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp_server, "_MAX_IN_FLIGHT", 2)
    server.add(NAME, Endless())
    sinks = [Sink() for _ in range(3)]
    streams = [client.send(server.address, NAME, None, sink, request_id="") for sink in sinks]
    await until(lambda: sinks[2].over)
    assert getattr(sinks[2].error, "code", "") == "overloaded"
    for stream in streams:
        stream.cancel()


async def test_unsent_requests_are_bounded(
    server: TcpRequestServer, client: TcpRequestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp_client, "_MAX_QUEUED", 1 << 20)
    sinks = [Sink() for _ in range(4)]
    for sink in sinks:
        client.send(server.address, NAME, bytes(400 << 10), sink, request_id="")
    await until(lambda: all(sink.over for sink in sinks))
    assert [getattr(sink.error, "code", "") == "overloaded" for sink in sinks] == [False, False, False, True]


async def test_a_reader_that_does_not_read_holds_the_handlers(server: TcpRequestServer) -> None:
    sent = 0

    async def flood(request: int, context: Context) -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(60):
            sent += 1
            yield bytes(1000)

    server.add(NAME, flood)
    async with connection(server) as peer:
        peer.send(encode_frame(prove(TOKEN, await peer.receive(), "requests")))
        await peer.receive()
        for number in range(1000):
            peer.send(encode_frame(Request(number, NAME, "", 1)))  # type: ignore[arg-type]
        await until(lambda: any(link.paused for link in server.links))
        link = next(iter(server.links))
        assert link.transport is not None
        assert link.transport.get_write_buffer_size() + link.out.size < 90 << 20
    await until(lambda: server.inflight() == 0)


async def test_a_handler_that_never_ends_keeps_no_server_open(
    client: TcpRequestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(asked: Any, context: Any) -> AsyncIterator[int]:
        yield 0
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()

    monkeypatch.setattr(tcp_server, "CUT_S", 0.1)
    monkeypatch.setattr(serving, "_CANCEL_GRACE_S", 0.01)
    server, sink = await TcpRequestServer.listen(TOKEN), Sink()
    server.add(NAME, handler)
    client.send(server.address, NAME, 1, sink, request_id="r1")
    await until(lambda: sink.frames)
    await asyncio.wait_for(server.drain(0.0), 5)
    await until(lambda: sink.over)
    assert isinstance(sink.error, StreamIncomplete)
    assert server.inflight() == 0
    await asyncio.wait_for(server.close(), 5)
    assert "1 requests go on 0.1 s after they were to end" in caplog.text

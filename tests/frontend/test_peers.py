from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.frontend.app import Frontend
from dynamo_cli.frontend.peers import FRONTENDS_PREFIX, Peer
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.http.later import later
from dynamo_cli.runtime.http.listener import bind
from dynamo_cli.runtime.http.server import HttpServer
from tests.frontend.toy import Deployment


def known(frontend: Frontend) -> list[str]:
    return sorted(peer.name for peer in frontend.peers.others)


async def announced(deployment: Deployment, name: str, path: Path) -> None:
    runtime = await deployment._runtime()
    await runtime.discovery.put(f"{FRONTENDS_PREFIX}{name}", msgspec.msgpack.encode(Peer(name, str(path))))


async def test_frontends_know_and_ask_each_other(bare: Deployment) -> None:
    one, _ = await bare.add_frontend(service="frontend-0")
    two, _ = await bare.add_frontend(service="frontend-1")
    await asyncio.sleep(0)
    assert (known(one), known(two)) == (["frontend-1"], ["frontend-0"])
    (answer,) = await one.peers.ask("GET", "/live")
    assert (answer.peer.name, answer.status, answer.body) == ("frontend-1", 200, b'{"status":"live"}')
    (refused,) = await two.peers.ask("POST", "/no/such/path", b"{}")
    assert (refused.peer.name, refused.status) == ("frontend-0", 404)
    await bare.close(two)
    await asyncio.sleep(0)
    assert await one.peers.ask("GET", "/live") == []


async def test_one_that_hangs_or_is_gone_costs_a_moment_and_is_told(bare: Deployment, tmp_path: Path) -> None:
    one, _ = await bare.add_frontend(service="frontend-0")
    await bare.add_frontend(service="frontend-1")
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(tmp_path / "h"))
        hung.listen()
        await announced(bare, "hung", tmp_path / "h")
        await announced(bare, "gone", tmp_path / "nobody")
        await asyncio.sleep(0)
        began = time.monotonic()
        answers = {answer.peer.name: answer for answer in await one.peers.ask("GET", "/live", timeout_s=0.2)}
        assert time.monotonic() - began < 2
    assert answers["frontend-1"].status == 200
    assert (answers["hung"].status, answers["hung"].body) == (0, b"no answer within 0.2 s")
    assert answers["gone"].status == 0
    assert b"No such file" in answers["gone"].body


async def test_an_unreadable_entry_is_nobody(bare: Deployment) -> None:
    one, _ = await bare.add_frontend(service="frontend-0")
    runtime = await bare._runtime()
    await runtime.discovery.put(f"{FRONTENDS_PREFIX}x", b"rubbish")
    await asyncio.sleep(0)
    assert one.peers.others == []


@pytest.mark.parametrize(("error", "status"), [(InvalidRequest("no", "x"), 400), (RuntimeError("oh"), 500)])
async def test_errors_of_a_handler_that_waits_become_responses(error: Exception, status: int) -> None:
    async def fail(exchange: Exchange) -> None:
        await asyncio.sleep(0)
        raise error

    server = HttpServer(later(fail))
    with bind("127.0.0.1", 0) as listener:
        server.listen(listener)
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert (answer.status_code, "error" in answer.json()) == (status, True)
        await server.close()


async def test_a_handler_that_waits_ends_when_its_client_goes() -> None:
    ended = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    server = HttpServer(later(wait))
    with bind("127.0.0.1", 0) as listener:
        server.listen(listener)
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.transport.abort()
        await asyncio.wait_for(ended.wait(), 5)
        await server.close()

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from dynamo_cli.runtime.admin import AdminServer


@pytest.fixture
async def admin(clean_environment: Path) -> AsyncIterator[AdminServer]:
    server = AdminServer(clean_environment / "run" / "admin.sock")
    yield server
    await server.close()


async def get(admin: AdminServer, path: str) -> httpx.Response:
    transport = httpx.AsyncHTTPTransport(uds=str(admin.path))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        return await client.get(path)


async def test_health_is_200_only_when_ready(admin: AdminServer) -> None:
    await admin.start()
    answer = await get(admin, "/health")
    assert (answer.status_code, answer.json()) == (503, {"status": "starting", "reason": ""})
    admin.set_health("loading", "reading the model", progress=0.5)
    assert (await get(admin, "/health")).json() == {"status": "loading", "reason": "reading the model", "progress": 0.5}
    admin.set_health("ready", models=["m"])
    answer = await get(admin, "/health")
    assert (answer.status_code, answer.json()["models"]) == (200, ["m"])
    assert (await get(admin, "/live")).status_code == 200


async def test_metrics_come_from_the_callable(admin: AdminServer) -> None:
    admin.metrics = lambda: b"dynamo_up 1\n"
    await admin.start()
    answer = await get(admin, "/metrics")
    assert answer.text == "dynamo_up 1\n"
    assert answer.headers["content-type"].startswith("text/plain")


async def test_own_routes_win(admin: AdminServer) -> None:
    admin.route("GET", "/live", lambda exchange: exchange.send(200, b"mine", b"text/plain"))
    await admin.start()
    assert (await get(admin, "/live")).text == "mine"
    assert (await get(admin, "/other")).status_code == 404


async def test_the_socket_is_private_replaces_a_stale_one_and_goes_with_the_server(admin: AdminServer) -> None:
    admin.path.touch()
    await admin.start()
    assert stat.S_IMODE(admin.path.stat().st_mode) == 0o600
    await admin.close()
    await admin.close()
    assert not admin.path.exists()

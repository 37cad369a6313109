"""GET /router, and what frontends of one deployment know of each other's requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from dynamo_cli.frontend.app import Frontend, FrontendOptions
from dynamo_cli.protocol.instance import ModelIdentity
from dynamo_cli.routing.kv_options import KvRoutingOptions
from tests.frontend.held import Held
from tests.frontend.toy import MODEL, Deployment, asyncio_deadline

KV = FrontendOptions(router_mode="kv")
ALONE = FrontendOptions(router_mode="kv", kv=KvRoutingOptions(replica_sync=False))
IDENTITY = ModelIdentity(text_digest="toy", kv_block_size=4)
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "hello there"}], "max_tokens": 2}


async def view(frontend: Frontend, path: str = "/router") -> dict[str, Any]:
    transport = httpx.AsyncHTTPTransport(uds=str(frontend.server.unix_listeners[0][1]))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as admin:
        return dict((await admin.get(path)).json())


async def until(frontend: Frontend, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first such view."""
    async with asyncio_deadline(10):
        while not reached(seen := await view(frontend)):
            await asyncio.sleep(0.005)
    return seen


def worker_of(seen: dict[str, Any]) -> dict[str, Any]:
    (worker,) = seen["models"][MODEL]["workers"].values()
    return dict(worker)


async def test_each_frontend_shows_what_all_have_in_flight(bare: Deployment) -> None:
    held = Held()
    one, url = await bare.add_frontend(KV, service="frontend-0")
    two, _ = await bare.add_frontend(KV, service="frontend-1")
    for bare.frontend in (one, two):
        if bare.frontend is one:
            await bare.add_worker(held, identity=IDENTITY, service="decode-0", total_kv_blocks=99)
        await bare.ready()
    name = (await view(one))["router"]
    assert await until(two, lambda seen: seen["routers"] == {name: True})
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.get("/router")).status_code == 404
        asking = asyncio.ensure_future(client.post("/v1/chat/completions", json=BODY))
        seen = worker_of(await until(two, lambda seen: worker_of(seen)["requests"] == 1))
        assert (seen["service"], seen["total_blocks"]) == ("decode-0", 99)
        assert seen["by_router"] == {name: {"requests": 1, "queued_tokens": seen["queued_tokens"]}}
        assert seen["queued_tokens"] >= 4 * seen["active_blocks"] > 0
        its_own = worker_of(await view(one))
        assert (its_own.pop("routed"), its_own.pop("prompt_tokens")) == (1, seen["queued_tokens"])
        assert (seen.pop("routed"), seen.pop("prompt_tokens")) == (0, 0)
        assert seen == its_own
        held.go.set()
        assert (await asking).status_code == 200
    await until(two, lambda seen: worker_of(seen)["requests"] == 0 and worker_of(seen)["by_router"] == {})


async def test_a_frontend_that_comes_later_is_told(bare: Deployment) -> None:
    held = Held()
    one, url = await bare.add_frontend(KV, service="frontend-0")
    bare.frontend = one
    await bare.add_worker(held, identity=IDENTITY)
    await bare.ready()
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        asking = asyncio.ensure_future(client.post("/v1/chat/completions", json=BODY))
        await until(one, lambda seen: worker_of(seen)["requests"] == 1)
        assert (await view(one))["routers"] == {}
        two, _ = await bare.add_frontend(KV, service="frontend-1")
        await until(two, lambda seen: MODEL in seen["models"] and worker_of(seen)["requests"] == 1)
        await bare.close(one)
        await until(two, lambda seen: worker_of(seen)["requests"] == 0 and seen["routers"] == {})
        held.go.set()
        assert (await asking).status_code == 503


async def test_without_replica_sync_each_knows_its_own_alone(bare: Deployment) -> None:
    held = Held()
    one, url = await bare.add_frontend(ALONE, service="frontend-0")
    two, _ = await bare.add_frontend(ALONE, service="frontend-1")
    await bare.add_worker(held, identity=IDENTITY)
    for bare.frontend in (one, two):
        await bare.ready()
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        asking = asyncio.ensure_future(client.post("/v1/chat/completions", json=BODY))
        await until(one, lambda seen: worker_of(seen)["requests"] == 1)
        assert one._shared._opening is None and two._shared._opening is None
        assert worker_of(await view(two))["requests"] == 0
        held.go.set()
        await asking


async def test_other_modes_have_no_router_to_show(bare: Deployment) -> None:
    one, _ = await bare.add_frontend(service="frontend-0")
    await bare.add_frontend(service="frontend-1")
    seen = await view(one)
    assert (seen["mode"], seen["routers"], seen["models"]) == ("round-robin", {}, {})
    assert one._shared._opening is None


async def test_the_blocks_of_a_worker_are_told_by_digest_and_by_name(bare: Deployment) -> None:
    """Those of a worker without events are what was routed to it."""
    one, url = await bare.add_frontend(KV, service="frontend-0")
    bare.frontend = one
    served = await bare.add_worker(identity=IDENTITY)
    await bare.ready()
    worker = served.instance.hex_id
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.post("/v1/chat/completions", json=BODY)).status_code == 200
        for path in ("/router/blocks", f"/router/blocks/{worker}"):
            assert (await client.get(path)).status_code == 404
    known = worker_of(await view(one))["blocks_known"]
    digests = (await view(one, "/router/blocks"))["models"][MODEL]["workers"]
    names = (await view(one, f"/router/blocks/{worker}"))["models"][MODEL]["workers"]
    assert set(digests) == set(names) == {worker} and known > 0
    hashes = names[worker]["device"].pop("hashes")
    assert digests == names and len(set(hashes)) == known == digests[worker]["device"]["blocks"]
    assert digests[worker]["host"] == digests[worker]["disk"] == {"blocks": 0, "digest": "0" * 16}
    unknown = await view(one, "/router/blocks/beef")
    assert unknown["error"]["message"] == "no router here knows a worker beef"

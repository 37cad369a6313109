"""Frontends and a router process over the real planes, in one process."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dynamo_cli.errors import DynamoError, InvalidRequest, ModelMissing, UsageError
from dynamo_cli.frontend.app import FrontendOptions
from dynamo_cli.frontend.router_service import add_router_service_argument, asks_router_service
from dynamo_cli.protocol.instance import ModelIdentity
from dynamo_cli.protocol.router_service import (
    BEST_WORKER,
    DUMP_EVENTS,
    OVERLAP_SCORES,
    POTENTIAL_LOADS,
    Advice,
    Dumped,
    DumpQuestion,
    OverlapScore,
    PotentialLoad,
    RoutingQuestion,
    Sequences,
    WorkerBlocks,
)
from dynamo_cli.routing.asking import RouterService
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.routing.service.host import RouterOptions, RouterProcess
from dynamo_cli.runtime.arguments import ComponentParser
from dynamo_cli.runtime.runtime import DistributedRuntime
from tests.frontend.held import Held
from tests.frontend.test_router_view import until as view_until
from tests.frontend.test_router_view import view, worker_of
from tests.frontend.toy import MODEL, Deployment, asyncio_deadline

ASKS = FrontendOptions(router_mode="kv", router_service=True)
IDENTITY = ModelIdentity(text_digest="toy", kv_block_size=4)
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "hello there"}], "max_tokens": 2}


class Routed:
    """A deployment with a router process; `ask` puts a question of any form to one of its endpoints."""

    def __init__(self, deployment: Deployment, runtime: DistributedRuntime, router: RouterProcess) -> None:
        self.deployment = deployment
        self.runtime = runtime
        self.router = router

    async def ask(self, endpoint: str, question: Any, answer: Any) -> list[Any]:
        client = await self.runtime.endpoint(f"dynamo.router.{endpoint}").client(answer)
        try:
            return [one async for one in client.round_robin(question)]
        finally:
            await client.close()

    async def frontend(self, service: str = "frontend-0") -> tuple[RouterService, str]:
        """One more; it knows the router and the worker."""
        frontend, url = await self.deployment.add_frontend(ASKS, service=service)
        self.deployment.frontend = frontend
        await self.deployment.ready()
        asking = frontend._service
        assert asking is not None
        await until(asking.asked_now)
        return asking, url

    def in_flight(self) -> dict[int, int]:
        return self.router.advisers[MODEL].placer.router.active.requests


@pytest.fixture
async def routed(bare: Deployment) -> AsyncIterator[Routed]:
    runtime = await bare._runtime("router-0")
    router = RouterProcess(runtime, RouterOptions(runtime.config, KvRoutingOptions()))
    await router.start()
    await router.serve()
    routed = Routed(bare, runtime, router)
    yield routed
    await routed.router.close()


async def until(reached: Any) -> None:
    async with asyncio_deadline(10):
        while not reached():
            await asyncio.sleep(0.005)


async def test_the_router_chooses_and_hears_what_becomes_of_it(routed: Routed) -> None:
    held = Held()
    await routed.deployment.add_worker(held, identity=IDENTITY)
    asking, url = await routed.frontend()
    adviser = routed.router.advisers[MODEL]
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = asyncio.ensure_future(client.post("/v1/chat/completions", json=BODY))
        await until(lambda: held.waiting)
        await until(lambda: routed.in_flight() and not adviser.unconfirmed)
        assert list(routed.in_flight().values()) == [1]
        (share,) = (adviser.placer.router.active.shares(worker) for worker in routed.in_flight())
        assert list(share) == [asking.router_id]
        held.go.set()
        assert (await answer).status_code == 200
        told = (await client.get("/metrics")).text
        assert 'dynamo_component_router_service_requests_total{outcome="advised"} 1\n' in told
    asks = (await view(routed.deployment.frontend))["asks"]
    assert (asks["router"], asks["advised"]) == (f"{routed.runtime.instance_id:x}", 1)
    await until(lambda: not routed.in_flight())
    assert asking.counts["advised"] == routed.router.asked[BEST_WORKER] == adviser.placer.counts.requests == 1


async def test_every_choice_of_a_request_is_asked_about(routed: Routed) -> None:
    await routed.deployment.add_worker(identity=IDENTITY)
    asking, url = await routed.frontend()
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.post("/v1/chat/completions", json={**BODY, "n": 3})
        assert len(answer.json()["choices"]) == 3
        streamed = await client.post("/v1/chat/completions", json={**BODY, "stream": True})
        assert streamed.text.endswith("data: [DONE]\n\n")
    assert asking.counts["advised"] == 4


async def test_a_router_that_goes_is_missed_by_nobody_and_one_that_comes_knows_all(routed: Routed) -> None:
    held = Held()
    await routed.deployment.add_worker(held, identity=IDENTITY)
    asking, url = await routed.frontend()
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        waiting = [asyncio.ensure_future(client.post("/v1/chat/completions", json=BODY)) for _ in range(2)]
        await until(lambda: held.waiting == 2)
        await routed.router.drain()
        await routed.router.close()
        waiting.append(asyncio.ensure_future(client.post("/v1/chat/completions", json=BODY)))
        await until(lambda: held.waiting == 3)
        assert asking.counts["absent"] == 1
        runtime = await routed.deployment._runtime("router-0")
        routed.router = RouterProcess(runtime, RouterOptions(runtime.config, KvRoutingOptions()))
        await routed.router.start()
        assert list(routed.in_flight().values()) == [3], "it is told before it is asked"
        await routed.router.serve()
        await until(asking.asked_now)
        held.go.set()
        assert (await client.post("/v1/chat/completions", json=BODY)).status_code == 200
        assert [(await one).status_code for one in waiting] == [200] * 3
    assert asking.counts["advised"] == 3


async def test_of_two_routers_one_is_asked_and_the_other_stands_by(routed: Routed) -> None:
    await routed.deployment.add_worker(identity=IDENTITY)
    runtime = await routed.deployment._runtime("router-1")
    second = RouterProcess(runtime, RouterOptions(runtime.config, KvRoutingOptions()))
    await second.start()
    await second.serve()
    asking, url = await routed.frontend()
    by_name = {f"{routed.runtime.instance_id:x}": routed.router, f"{runtime.instance_id:x}": second}
    assert asking._client is not None
    await asking._client.wait_for_instances(2)
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for _ in range(2):
            first = asking.asked_now()
            assert (await client.post("/v1/chat/completions", json=BODY)).status_code == 200
            assert by_name.pop(first).asked[BEST_WORKER] == 1
            await (routed.router if first == f"{routed.runtime.instance_id:x}" else second).drain()
            await until(lambda gone=first: asking.asked_now() != gone)
        assert (await client.post("/v1/chat/completions", json=BODY)).status_code == 200
    assert (asking.counts["advised"], asking.counts["absent"]) == (2, 1)
    await second.close()


async def test_two_frontends_know_of_each_other_and_the_router_of_both(routed: Routed) -> None:
    held = Held()
    await routed.deployment.add_worker(held, identity=IDENTITY)
    asked = [await routed.frontend(f"frontend-{number}") for number in (0, 1)]
    async with httpx.AsyncClient(trust_env=False) as client:
        waiting = [asyncio.ensure_future(client.post(f"{url}/v1/chat/completions", json=BODY)) for _, url in asked]
        await until(lambda: list(routed.in_flight().values()) == [2])
        seen = await view_until(routed.deployment.frontend, lambda seen: worker_of(seen)["requests"] == 2)
        names = {asking.router_id for asking, _ in asked}
        assert set(worker_of(seen)["by_router"]) == names == set(routed.router.shared.routers())
        assert f"{routed.runtime.instance_id:x}" in seen["routers"]
        held.go.set()
        await asyncio.gather(*waiting)


async def test_other_programs_may_ask_too(routed: Routed) -> None:
    held = Held()
    served = await routed.deployment.add_worker(held, identity=IDENTITY, total_kv_blocks=99)
    worker = served.instance.instance_id
    frontend, url = await routed.frontend()
    question = RoutingQuestion(model=MODEL, token_ids=list(range(10)))
    assert await routed.ask(BEST_WORKER, question, Advice) == [Advice(worker, 0, {worker: 10.0})]
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        asking = asyncio.ensure_future(client.post("/v1/chat/completions", json=BODY))
        await until(lambda: routed.in_flight())
        queued = routed.router.advisers[MODEL].placer.router.active.prefill_tokens[worker]
        (load,) = await routed.ask(POTENTIAL_LOADS, question, PotentialLoad)
        assert (load.worker, load.prefill_tokens, load.requests) == (worker, queued + 10, 2)
        assert await routed.ask(OVERLAP_SCORES, question, OverlapScore) == [OverlapScore(worker, 0)]
        blocks, sequences = await routed.ask(DUMP_EVENTS, DumpQuestion(), Dumped)
        assert isinstance(blocks, WorkerBlocks) and blocks.worker == worker
        assert isinstance(sequences, Sequences) and sequences.events[0].router == frontend.router_id
        held.go.set()
        await asking


@pytest.mark.parametrize(
    ("endpoint", "question", "error", "says"),
    [
        (
            BEST_WORKER,
            {"model": "other"},
            ModelMissing,
            f"no workers of model 'other'; models .*{MODEL}",
        ),
        (DUMP_EVENTS, {"model": "other"}, ModelMissing, "this router knows no workers of model 'other'"),
        (BEST_WORKER, {"model": 5}, InvalidRequest, r"Expected `str`, got `int` - at `\$.model`"),
        (BEST_WORKER, {"model": MODEL, "tokens": -1}, InvalidRequest, r"at `\$.tokens`"),
        (BEST_WORKER, {}, InvalidRequest, "missing required field `model`"),
        (OVERLAP_SCORES, "garbage", InvalidRequest, "Expected `object`, got `str`"),
        (POTENTIAL_LOADS, {"model": MODEL, "temperature": "hot"}, InvalidRequest, r"at `\$.temperature`"),
    ],
)
async def test_what_it_cannot_answer_is_one_line(
    routed: Routed, endpoint: str, question: Any, error: type[DynamoError], says: str
) -> None:
    await routed.deployment.add_worker(identity=IDENTITY)
    await until(lambda: MODEL in routed.router.advisers)
    with pytest.raises(error, match=says) as caught:
        await routed.ask(endpoint, question, Any)
    assert "\n" not in str(caught.value)


async def test_a_field_of_a_later_version_is_no_mistake(routed: Routed) -> None:
    served = await routed.deployment.add_worker(identity=IDENTITY)
    await until(lambda: MODEL in routed.router.advisers)
    await until(lambda: routed.router.advisers[MODEL].placer.model.candidates)
    question = {"model": MODEL, "tokens": 5, "priority": 3}
    (advice,) = await routed.ask(BEST_WORKER, question, Advice)
    assert advice.worker == served.instance.instance_id


def parsed(*words: str) -> argparse.Namespace:
    parser = ComponentParser("dynamo frontend")
    add_router_service_argument(parser)
    return parser.parse_args(words)


def test_the_option_and_its_variable() -> None:
    kv, on = KvRoutingOptions(), {"DYN_ROUTER_SERVICE": "1"}
    assert not asks_router_service(parsed(), "kv", kv, {})
    assert asks_router_service(parsed("--router-service"), "kv", kv, {})
    assert asks_router_service(parsed(), "kv", kv, on)
    assert not asks_router_service(parsed("--no-router-service"), "kv", kv, on)
    with pytest.raises(UsageError, match="this is random; use --router-mode kv"):
        asks_router_service(parsed(), "random", kv, on)
    with pytest.raises(UsageError, match="leave out --no-router-replica-sync"):
        asks_router_service(parsed("--router-service"), "kv", KvRoutingOptions(replica_sync=False), {})

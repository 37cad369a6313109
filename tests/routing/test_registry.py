from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from dynamo_cli.protocol.instance import ModelCard, ModelIdentity, Role
from dynamo_cli.routing.registry import ModelRegistry, RoutedModel
from dynamo_cli.runtime.config import RuntimeConfig
from dynamo_cli.runtime.runtime import DistributedRuntime


async def until(reached: Callable[[], Any]) -> None:
    for _ in range(2000):
        if reached():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("not reached in 10 s")


class Worker:
    def __init__(self, runtime: DistributedRuntime, card: ModelCard) -> None:
        self.runtime = runtime
        self.card = card
        self.id = card.instance.instance_id


class World:
    def __init__(self, home: Path) -> None:
        environ = {"DYN_DISCOVERY_BACKEND": "mem", "DYN_TOKEN": "t", "DYNAMO_HOME": str(home)}
        self.config = RuntimeConfig.from_args(None, environ)
        self.runtimes: list[DistributedRuntime] = []
        self.registries: list[ModelRegistry] = []
        self.changes: list[str] = []

    async def runtime(self) -> DistributedRuntime:
        self.runtimes.append(await DistributedRuntime.create(self.config))
        return self.runtimes[-1]

    async def worker(
        self,
        name: str = "m",
        digest: str = "a",
        namespace: str = "dynamo",
        role: Role = "aggregated",
        context: int = 0,
        generation: int = 0,
    ) -> Worker:
        async def handler(request: Any, context: Any) -> AsyncIterator[Any]:
            yield request

        runtime = await self.runtime()
        served = await runtime.endpoint(f"{namespace}.backend.generate").serve(handler)
        identity = ModelIdentity(digest)
        card = ModelCard(name, identity, served.instance, role=role, context_length=context, generation=generation)
        await runtime.discovery.put(card.key, msgspec.msgpack.encode(card))
        return Worker(runtime, card)

    async def registry(self, **options: Any) -> ModelRegistry:
        options = {"namespace": "dynamo", "on_change": lambda model: self.changes.append(model.name), **options}
        self.registries.append(ModelRegistry(await self.runtime(), **options))
        await self.registries[-1].start()
        return self.registries[-1]


@pytest.fixture
async def world(clean_environment: Path) -> AsyncIterator[World]:
    world = World(clean_environment)
    yield world
    for registry in world.registries:
        await registry.close()
    for runtime in world.runtimes:
        await runtime.close()


async def test_models_come_and_go(world: World) -> None:
    first = await world.worker(context=100)
    registry = await world.registry()
    assert registry.models["m"].candidates == [first.id]
    second = await world.worker(context=50)
    await until(lambda: len(registry.models["m"].candidates) == 2)
    assert registry.models["m"].context_length == 50
    await second.runtime.close()
    await until(lambda: registry.models["m"].candidates == [first.id])
    assert registry.models["m"].context_length == 100
    await first.runtime.close()
    await until(lambda: not registry.models["m"].cards)
    assert registry.models["m"].candidates == []
    assert registry.models["m"].identity is None
    assert "m" in world.changes


async def test_another_identity_is_refused_until_it_is_the_only_one(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    registry = await world.registry()
    first = await world.worker(digest="a")
    await until(lambda: registry.models.get("m") and registry.models["m"].candidates)
    other = await world.worker(digest="b")
    await until(lambda: registry.refused)
    assert registry.models["m"].candidates == [first.id]
    assert "text_digest 'b' != 'a'" in registry.refused[0].reason
    assert "text_digest 'b' != 'a'" in caplog.text
    await first.runtime.close()
    await until(lambda: registry.models["m"].candidates == [other.id])
    assert registry.refused == []


async def test_the_next_identity_is_prepared_before_requests_go_over(world: World) -> None:
    prepared: list[str] = []
    go = asyncio.Event()

    async def prepare(name: str, card: ModelCard) -> None:
        prepared.append(card.identity.text_digest)
        await go.wait()

    registry = await world.registry(prepare=prepare)
    first = await world.worker(digest="a")
    await until(lambda: registry.models.get("m") and registry.models["m"].candidates)
    assert prepared == [], "a model that nobody serves yet waits for nothing"
    other = await world.worker(digest="b", generation=1)
    await until(lambda: prepared == ["b"])
    assert registry.models["m"].candidates == [first.id]
    go.set()
    await until(lambda: registry.models["m"].candidates == [other.id])
    assert registry.models["m"].identity == other.card.identity


async def test_what_comes_next_is_prepared_while_it_waits(world: World) -> None:
    prepared: list[str] = []

    async def prepare(name: str, card: ModelCard) -> None:
        prepared.append(card.identity.text_digest)

    registry = await world.registry(prepare=prepare)
    old = [await world.worker(digest="a") for _ in range(3)]
    await until(lambda: registry.models.get("m") and len(registry.models["m"].candidates) == 3)
    new = await world.worker(digest="b", generation=1)
    await until(lambda: registry.refused)
    assert prepared == ["b"] and new.id not in registry.models["m"].candidates
    for worker in old[:2]:
        await worker.runtime.close()
    await until(lambda: registry.models["m"].candidates == [new.id])
    assert prepared == ["b"]


async def test_a_next_identity_that_cannot_be_prepared_changes_nothing(world: World) -> None:
    async def prepare(name: str, card: ModelCard) -> None:
        raise ValueError("no tokenizer there")

    registry = await world.registry(prepare=prepare)
    first = await world.worker(digest="a")
    await until(lambda: registry.models.get("m") and registry.models["m"].candidates)
    await world.worker(digest="b", generation=1)
    await until(lambda: registry.refused)
    assert registry.models["m"].candidates == [first.id]
    assert registry.refused[0].reason.endswith("cannot take over: no tokenizer there")


async def test_namespace_prefix_and_name_select(world: World) -> None:
    await world.worker("inside", namespace="team-a")
    await world.worker("near", namespace="team-b")
    await world.worker("outside", namespace="other")
    exact = await world.registry(namespace="team-a")
    assert set(exact.models) == {"inside"}
    prefix = await world.registry(namespace_prefix="team-")
    assert set(prefix.models) == {"inside", "near"}
    only = await world.registry(namespace_prefix="", only="outside")
    assert set(only.models) == {"outside"}


async def test_workers_that_prefill_are_not_sent_whole_requests(world: World) -> None:
    prefill, decode = await world.worker("m", role="prefill"), await world.worker("m", role="decode")
    registry = await world.registry()
    model = registry.models["m"]
    assert model.candidates == [decode.id]
    assert model.prefill is not None
    assert model.prefill.candidates == [prefill.id]
    assert model.decoders(model.candidates) == [decode.id]


async def test_two_models_share_an_endpoint(world: World) -> None:
    one, two = await world.worker("one"), await world.worker("two")
    registry = await world.registry()
    assert registry.models["one"].candidates == [one.id]
    assert registry.models["two"].candidates == [two.id]


async def test_a_worker_reported_down_leaves_and_comes_back(world: World) -> None:
    worker = await world.worker()
    registry = await world.registry()
    model = registry.models["m"]
    model.clients[worker.id].report_down(worker.id)
    assert model.candidates == []
    await until(lambda: model.candidates == [worker.id])


async def test_an_unreadable_card_is_skipped(world: World, caplog: pytest.LogCaptureFixture) -> None:
    runtime = await world.runtime()
    await runtime.discovery.put("v1/models/dynamo/backend/generate/1", b"\xc1")
    registry = await world.registry()
    assert registry.models == {}
    assert "unreadable" in caplog.text


async def test_numbers_that_cannot_be_make_a_card_unreadable(world: World, caplog: pytest.LogCaptureFixture) -> None:
    registry = await world.registry()
    worker = await world.worker()
    await until(lambda: "m" in registry.models)
    bad = replace(worker.card, instance=replace(worker.card.instance, instance_id=1), total_kv_blocks=-1)
    await worker.runtime.discovery.put(bad.key, msgspec.msgpack.encode(bad))
    await until(lambda: "unreadable: Expected `int` >= 0 - at `$.total_kv_blocks`" in caplog.text)
    assert list(registry.models["m"].cards) == [worker.id]


async def test_a_model_that_cannot_be_followed_keeps_nobody_from_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def change(model: RoutedModel) -> None:
        if model.name == "bad" and len(model.cards) == 1:
            raise ZeroDivisionError

    registry = await world.registry(on_change=change)
    await world.worker("bad")
    await until(lambda: "model bad cannot be followed" in caplog.text)
    good, another = await world.worker("good"), await world.worker("bad")
    await until(lambda: list(registry.models.get("good", RoutedModel("")).cards) == [good.id])
    await until(lambda: another.id in registry.models["bad"].cards)

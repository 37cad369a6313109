"""Adapters in the routing: blocks of their own, the workers' one load."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from dynamo_cli.errors import NoInstances
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.instance import ModelCard, ModelIdentity
from dynamo_cli.protocol.kv import Stored, block_hashes
from dynamo_cli.router.policies import make_policy
from dynamo_cli.routing.adapter_placing import AdapterPlacer
from dynamo_cli.routing.hints import NO_HINTS
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.routing.kv_placing import KvPlacer
from dynamo_cli.routing.placing import PolicyPlacer
from dynamo_cli.routing.registry import RoutedModel
from tests.routing.test_kv_placing import BLOCK, PROMPT, World, card_of
from tests.routing.test_registry import World as Registered
from tests.routing.test_registry import until, world

__all__ = ["world"]
LORA = ModelIdentity(kv_block_size=BLOCK, base="m", adapter="x")


def adapter_of(world: World) -> AdapterPlacer:
    model = RoutedModel("lora")
    model.identity = LORA
    return AdapterPlacer(model, world.placer)


def place(placer: Any, model: str, candidates: list[int], request_id: str = "r") -> tuple[int, Any]:
    worker, placed = placer.place(EngineRequest(model, PROMPT), request_id, candidates, None, NO_HINTS)
    return int(worker), placed


def test_prefixes_of_different_adapters_never_match() -> None:
    world = World()
    held = {1: "", 2: "lora", 3: "other"}
    for worker, adapter in held.items():
        world.router.apply(worker, Stored(block_hashes(PROMPT, BLOCK, adapter=adapter)))
    lora = adapter_of(world)
    for number in range(3):
        assert place(world.placer, "m", [1, 2, 3], f"m{number}")[0] == 1
        worker, placed = place(lora, "lora", [1, 2, 3], f"l{number}")
        assert worker == 2 and placed.kv_hit_rate == 1
    _, placed = place(lora, "lora", [1], "elsewhere")
    assert placed.kv_hit_rate == 0


def test_an_adapters_requests_weigh_on_the_worker() -> None:
    world = World(workers=2)
    lora = adapter_of(world)
    worker, placed = place(lora, "lora", [1, 2])
    assert world.router.active.requests == {worker: 1}
    assert place(world.placer, "m", [1, 2], "s")[0] != worker
    placed.over()
    assert world.router.active.requests == {3 - worker: 1}


def test_whoever_has_lost_its_base_is_no_candidate() -> None:
    world = World(workers=1)
    lora = adapter_of(world)
    assert place(lora, "lora", [9, 1])[0] == 1
    with pytest.raises(NoInstances):
        place(lora, "lora", [9])


def test_an_adapter_whose_base_is_not_served_here_hashes_by_its_own_name() -> None:
    model = RoutedModel("lora")
    model.identity = LORA
    model.cards = {w: msgspec.structs.replace(card_of(w), name="lora", identity=LORA) for w in (1, 2)}
    placer = KvPlacer(model, KvRoutingOptions(), random.Random(1), lambda: 0.0)
    placer.router.apply(2, Stored(block_hashes(PROMPT, BLOCK, adapter="lora")))
    assert place(placer, "lora", [1, 2])[0] == 2


def test_policies_that_count_requests_count_those_of_adapters() -> None:
    base = RoutedModel("m")
    base.cards = {worker: card_of(worker) for worker in (1, 2)}
    placer = PolicyPlacer(base, make_policy("least-loaded", random.Random(1)))
    lora = AdapterPlacer(RoutedModel("lora"), placer)
    lora.inflight[1] = 3
    assert place(placer, "m", [1, 2])[0] == 2


async def put(world: Registered, card: ModelCard, **changes: Any) -> None:
    card = msgspec.structs.replace(card, **changes)
    await world.runtimes[0].discovery.put(card.key, msgspec.msgpack.encode(card))


async def test_the_registry_knows_the_base_of_an_adapter(world: Registered) -> None:
    worker = await world.worker()
    identity = msgspec.structs.replace(worker.card.identity, base="m", adapter="x")
    await put(world, worker.card, name="lora", identity=identity)
    registry = await world.registry()
    base, lora = registry.models["m"], registry.models["lora"]
    assert lora.base is base and lora.loads is base.loads and base.base is None
    assert lora.candidates == base.candidates == [worker.id]
    alone = await world.registry(only="lora")
    assert set(alone.models) == {"lora"} and alone.models["lora"].base is None
    await worker.runtime.close()
    await until(lambda: not lora.cards and not base.cards)


async def test_workers_that_prefill_take_no_whole_requests(world: Registered) -> None:
    prefill, decode = await world.worker(role="prefill"), await world.worker(role="decode")
    registry = await world.registry()
    assert registry.models["m"].candidates == [decode.id] != [prefill.id]

"""What a worker tells of its cache is what its engine holds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dynamo_cli.protocol.engine import EngineRequest, StopConditions
from dynamo_cli.protocol.instance import EndpointId
from dynamo_cli.protocol.kv import KV_TOPIC, KvEvent, block_hashes
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.events.memory import MemoryEventPlane, MemoryHub
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.mock.engine import MockEngine
from dynamo_cli.workers.engines.mock.spec import MockOptions
from dynamo_cli.workers.kv_events import KvEventTeller
from tests.runtime.events.copies import Copy

ENDPOINT = EndpointId("dynamo", "backend", "generate")
BLOCK = 16


class Heard(Copy):
    """The same, of messages that hold several events."""

    def on_event(self, publisher: int, payload: Any) -> None:
        for event in payload:
            super().on_event(publisher, event)


async def generate(engine: MockEngine, prompt: list[int]) -> None:
    request = EngineRequest("m", prompt, stop=StopConditions(max_tokens=2, ignore_eos=True))
    async for _ in engine.generate(request, Context("r")):
        pass


async def test_early_and_late_routers_know_what_the_engine_holds() -> None:
    engine = MockEngine(
        MockOptions(speedup_ratio=0.0, num_gpu_blocks=40, block_size=BLOCK), EngineLaunch(model_name="m")
    )
    hub = MemoryHub()
    info = await engine.start()
    assert info.kv_events
    await generate(engine, list(range(100)))
    teller = KvEventTeller()
    await teller.start(engine, MemoryEventPlane(hub, 1), ENDPOINT)
    router = MemoryEventPlane(hub, 2)
    early, late = Heard(), Heard()
    await router.subscribe("dynamo", "backend", KV_TOPIC, early, list[KvEvent])
    prompts = [[1000 * number + token for token in range(200)] for number in range(6)]
    for prompt in prompts:
        await generate(engine, prompt)
    await router.subscribe("dynamo", "backend", KV_TOPIC, late, list[KvEvent])
    for _ in range(5):
        await asyncio.sleep(0)
    held = engine._simulator.pool.names  # type: ignore[union-attr]
    assert early.held[1] == late.held[1] == held
    assert set(block_hashes(prompts[-1], BLOCK)) <= held and len(held) <= 40
    assert f"kv_blocks_held{{}} {len(held)}\n" in teller.metrics("{}") and teller.told > 0
    await router.close()
    await engine.stop()


@pytest.mark.parametrize("caching", [True, False])
async def test_an_engine_without_a_prefix_cache_declares_no_events(caching: bool) -> None:
    engine = MockEngine(MockOptions(speedup_ratio=0.0, enable_prefix_caching=caching), EngineLaunch(model_name="m"))
    assert (await engine.start()).kv_events is caching
    await engine.stop()

"""KV events between real processes over connections that lose, maim and break: the index equals what workers hold."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from tests.integration.relayed import MODEL, OPTIONS, Component, Relayed, ask, load, relayed, until
from tests.runtime.events.lossy import BREAKS, LOSSES

pytestmark = pytest.mark.slow
SETTLED_S = 2.0


@pytest.fixture
async def deployment(clean_environment: Path) -> AsyncIterator[Relayed]:
    async with relayed(clean_environment) as deployment:
        yield deployment


async def serving(deployment: Relayed, workers: int) -> tuple[Component, list[Component]]:
    """A frontend that can send requests to so many workers."""
    started = await asyncio.gather(deployment.frontend(), *(deployment.worker() for _ in range(workers)))
    frontend, *others = started

    async def knows_all() -> bool:
        return all([await deployment.index(frontend, worker) is not None for worker in others])

    await until(knows_all, 10.0, "the workers")
    return frontend, others


def same(deployment: Relayed, frontend: Component, workers: list[Component]) -> Callable[[], Awaitable[bool]]:
    """Whether the frontend knows exactly what all of these hold."""

    async def is_same() -> bool:
        return all([await deployment.index(frontend, one) == await deployment.held(one) for one in workers])

    return is_same


async def answered(answers: dict[int, int], number: int) -> None:
    async def enough() -> bool:
        return answers[200] >= number

    await until(enough, 60.0, f"{number} answers")
    assert set(answers) == {200}


async def test_the_index_is_what_the_workers_hold_whatever_was_lost(deployment: Relayed) -> None:
    frontend, workers = await serving(deployment, 2)
    deployment.mirror.disturb(0.3)

    async def all_has_happened() -> bool:
        return all(relay.fates[fate] for relay in deployment.mirror.relays.values() for fate in LOSSES + BREAKS)

    async with load(frontend) as answers:
        await answered(answers, 300)
        await until(all_has_happened, 60.0, "each loss")
    deployment.mirror.disturb(0.0)
    await until(same(deployment, frontend, workers), SETTLED_S, "the truth")
    for worker in workers:
        held = await deployment.held(worker)
        assert len(held["device"]) > OPTIONS["num_gpu_blocks"] // 2 and held["host"]
    deployment.mirror.disturb(0.02)
    async with load(frontend) as answers:
        await answered(answers, 100)
    await until(same(deployment, frontend, workers), 10.0, "the truth, while frames are still lost")


async def test_who_comes_late_is_told_all_and_a_killed_workers_blocks_are_gone_at_once(deployment: Relayed) -> None:
    early, workers = await serving(deployment, 2)
    async with load(early) as answers:
        await answered(answers, 60)
        late = await deployment.frontend()
        await answered(answers, 120)
    for frontend in (early, late):
        await until(same(deployment, frontend, workers), SETTLED_S, "the truth")
    killed, left = workers
    async with load(early) as answers:
        await answered(answers, 20)
        assert (await deployment.index(late, killed) or {})["device"]
        killed.process.popen.send_signal(signal.SIGKILL)
        for frontend in (early, late):

            async def holds_nothing(frontend: Component = frontend) -> bool:
                return not any((await deployment.index(frontend, killed) or {}).values())

            await until(holds_nothing, 1.0, "the end of its blocks")
        await answered(answers, 60)
    for frontend in (early, late):
        await until(same(deployment, frontend, [left]), SETTLED_S, "the truth")


async def test_a_worker_whose_events_cannot_be_reached_is_told_of_until_they_come(deployment: Relayed) -> None:
    deployment.mirror.reachable = False
    frontend, (worker,) = await serving(deployment, 1)

    async with httpx.AsyncClient(base_url=frontend.name, timeout=20.0, trust_env=False) as client:

        async def blind() -> bool:
            """Another answer: the frontend thinks of it when there is one."""
            assert await ask(client, "of something else " * 30) == 200
            found = re.search(rf'blind_workers{{model="{MODEL}",reason="silent"}} (\d+)', await metrics())
            return found is not None and found[1] == "1"

        async def metrics() -> str:
            return (await client.get("/metrics")).text

        await until(blind, 20.0, "the diagnosis")
        assert f"{worker.name}) of model {MODEL} declares KV events, and none has come in 5 s" in frontend.process.log
        assert "the events are lost, trying again: cannot connect to tcp://127.0.0.1:" in frontend.process.log
        await deployment.mirror.mend()
        await until(same(deployment, frontend, [worker]), 5.0, "its events")
        assert not await blind()
        assert "tells of its KV cache now" in frontend.process.log

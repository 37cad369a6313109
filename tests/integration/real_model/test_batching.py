"""Requests share the engine: they run together, and one that leaves makes room at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest

from tests.integration.dynamo import metric
from tests.integration.real_model.conftest import Agg
from tests.integration.real_model.streams import Streamed, until

pytestmark = pytest.mark.slow
SLOTS = 4
FREED_WITHIN_S = 0.2


@pytest.fixture
async def stream(agg: Agg) -> AsyncIterator[partial[Streamed]]:
    async with httpx.AsyncClient(timeout=60.0, trust_env=False) as client:
        yield partial(Streamed, client, agg)


async def in_flight(agg: Agg) -> int:
    return int(await asyncio.to_thread(metric, agg.worker, "dynamo_component_inflight_requests"))


async def test_four_streams_run_at_once(stream: partial[Streamed]) -> None:
    streams = [stream([1, 300 + n, 198], 40) for n in range(SLOTS)]
    await asyncio.gather(*(one.task for one in streams))
    assert max(one.times[0] for one in streams) < min(one.times[-1] for one in streams)


@pytest.mark.alone
async def test_a_client_that_leaves_frees_its_slot_within_200_ms(agg: Agg, stream: partial[Streamed]) -> None:
    busy = [stream([1, 300 + n, 198], 2000) for n in range(SLOTS)]
    await until(lambda: all(one.times for one in busy))
    took = []
    for _ in range(3):
        waiting = stream([1, 2683, 198], 1)
        while await in_flight(agg) <= SLOTS:
            await asyncio.sleep(0.01)
        pieces = [len(one.times) for one in busy]
        await until(lambda pieces=pieces: all(len(one.times) > 5 + n for one, n in zip(busy, pieces, strict=True)))
        assert not waiting.times, "it did not wait for a slot"
        began = await busy.pop(0).leave()
        await waiting.task
        took.append(waiting.times[0] - began)
        busy.append(stream([1, 300, 198], 2000))
        await until(lambda: busy[-1].times)
    await asyncio.gather(*(one.leave() for one in busy))
    while await in_flight(agg):
        await asyncio.sleep(0.01)
    assert sorted(took)[1] < FREED_WITHIN_S, took

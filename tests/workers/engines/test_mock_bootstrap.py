"""Mock workers that are told beforehand where they meet, as SGLang's are: both get a request at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from dynamo_cli.errors import TransferFailed
from dynamo_cli.protocol.engine import Delta, StopConditions
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engines.mock.engine import MockEngine
from tests.workers.engines.cases import collect, said
from tests.workers.engines.test_mock_disagg import active, counter, create, request, until

PREFILL = replace(request(), prefill_only=True, stop=StopConditions(max_tokens=1))


@asynccontextmanager
async def pair(**options: Any) -> AsyncIterator[tuple[MockEngine, MockEngine, Handover]]:
    """With the place of a room."""
    prefill, decode = create("prefill", bootstrap=True, **options), create("decode", **options)
    info = await prefill.start()
    assert not (await decode.start()).bootstrap_port
    place = {"bootstrap_host": info.bootstrap_host, "bootstrap_port": info.bootstrap_port, "bootstrap_room": 7}
    try:
        yield prefill, decode, Handover("mock", place)
    finally:
        await decode.stop()
        await prefill.stop()


async def arrived(decode: MockEngine) -> None:
    """It has its blocks, and waits for what is in them."""
    await until(lambda: active(decode) == 7)


def begin(engine: MockEngine, place: Handover, context: Context | None = None) -> asyncio.Task[list[Delta]]:
    return asyncio.create_task(collect(engine, replace(request(), handover=place), context))


@pytest.mark.parametrize("first", ["prefill", "decode"])
async def test_whoever_comes_first_waits(first: str) -> None:
    async with pair() as (prefill, decode, place):
        if first == "prefill":
            await collect(prefill, replace(PREFILL, handover=place))
            answering = begin(decode, place)
        else:
            answering = begin(decode, place)
            await arrived(decode)
            await collect(prefill, replace(PREFILL, handover=place))
        deltas = await answering
        assert len(said(deltas)) == 8
        assert counter(decode, "mock_prompt_tokens_computed_total") == 0
        await until(lambda: active(prefill) == active(decode) == 0)


async def test_who_waits_in_vain_can_leave() -> None:
    async with pair() as (prefill, decode, place):
        context = Context("c")
        answering = begin(decode, place, context)
        await arrived(decode)
        context.stop()
        assert (await answering)[-1].finish_reason == "cancelled"
        await until(lambda: active(decode) == 0)
        await collect(prefill, replace(PREFILL, handover=place))
        await prefill.let_go(place)


async def test_nobody_waits_for_ever() -> None:
    async with pair(kv_keep_s=0.05) as (_, decode, place):
        with pytest.raises(TransferFailed, match="nothing is kept"):
            await begin(decode, place)
        assert active(decode) == 0


async def test_a_prefill_worker_that_dies_meanwhile_is_noticed_at_once() -> None:
    async with pair() as (prefill, decode, place):
        answering = begin(decode, place)
        await arrived(decode)
        await asyncio.sleep(0.05)
        await prefill.stop()
        with pytest.raises(TransferFailed):
            await asyncio.wait_for(answering, 5)

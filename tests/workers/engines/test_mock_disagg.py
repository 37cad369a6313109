"""A mock prefill worker keeps KV, a mock decode worker fetches it: nothing is computed twice, nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from dynamo_cli.errors import EngineFailed, TransferFailed
from dynamo_cli.protocol.engine import Delta, EngineRequest, StopConditions
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.instance import Role
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.mock.engine import MockEngine
from dynamo_cli.workers.engines.mock.spec import MockOptions
from tests.workers.engines.cases import collect, said

BLOCKS, SIZE = 64, 16
PROMPT = list(range(100))


def create(role: Role, **options: Any) -> MockEngine:
    chosen = MockOptions(**{"speedup_ratio": 0.0, "num_gpu_blocks": BLOCKS, "block_size": SIZE, **options})
    made = registry.spec("mock").create(EngineLaunch(model_name="m", options=chosen, role=role))
    assert isinstance(made, MockEngine)
    return made


@asynccontextmanager
async def engine(role: Role, **options: Any) -> AsyncIterator[MockEngine]:
    made = create(role, **options)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def request(tokens: list[int] = PROMPT, max_tokens: int = 8) -> EngineRequest:
    return EngineRequest("m", tokens, stop=StopConditions(max_tokens=max_tokens))


async def prefilled(worker: MockEngine, wanted: EngineRequest) -> Delta:
    asked = replace(wanted, prefill_only=True, stop=StopConditions(max_tokens=1))
    deltas = await collect(worker, asked)
    assert len(deltas) == 1
    return deltas[0]


def active(worker: MockEngine) -> int:
    load = worker.load()
    assert load is not None
    return load.active_decode_blocks


def counter(worker: MockEngine, name: str) -> int:
    lines = [line for line in worker.metrics().splitlines() if line.startswith(f"{name} ")]
    return int(lines[0].split()[1])


async def until(condition: Any) -> None:
    async def looking() -> None:
        while not condition():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(looking(), 5)


async def test_the_decode_worker_computes_nothing_of_the_prompt_and_says_the_same() -> None:
    async with engine("prefill") as prefill, engine("decode") as decode, engine("aggregated") as alone:
        expected = said(await collect(alone, request()))
        last = await prefilled(prefill, request())
        assert last.finish_reason == "length"
        assert active(prefill) == 7
        deltas = await collect(decode, replace(request(), handover=last.handover))
        assert said(deltas) == expected
        assert counter(decode, "mock_prompt_tokens_computed_total") == 0
        assert counter(prefill, "mock_prompt_tokens_computed_total") == len(PROMPT)
        usage = deltas[-1].usage
        assert usage is not None
        assert usage.transferred_tokens == counter(decode, "mock_kv_tokens_received_total") == len(PROMPT)
        assert usage.transferred_bytes == len(PROMPT) * 131072
        told = [(usage.transferred_tokens, usage.transferred_bytes, usage.transfer_s)]
        assert [delta.fetched for delta in deltas if delta.fetched is not None] == told == [deltas[0].fetched]
        await until(lambda: active(prefill) == active(decode) == 0)


async def test_a_prefix_that_the_decode_worker_has_is_not_transferred_again() -> None:
    async with engine("prefill") as prefill, engine("decode") as decode:
        usages = []
        for prompt in (PROMPT, [*PROMPT[:96], 7, 7, 7]):
            last = await prefilled(prefill, request(prompt))
            deltas = await collect(decode, replace(request(prompt), handover=last.handover))
            usages.append(deltas[-1].usage)
        assert usages[1].transferred_tokens == 3
        assert usages[1].cached_tokens == 96


async def test_the_transfer_takes_the_time_of_its_bytes_over_the_bandwidth() -> None:
    bandwidth = len(PROMPT) * 1000 / 0.2 / 1e9
    options = {"speedup_ratio": 1.0, "kv_bytes_per_token": 1000, "kv_transfer_bandwidth": bandwidth}
    async with engine("prefill", **options) as prefill, engine("decode", **options) as decode:
        last = await prefilled(prefill, request())
        deltas = await collect(decode, replace(request(), handover=last.handover))
        assert deltas[-1].usage is not None
        assert deltas[-1].usage.transfer_s >= 0.19


async def test_others_go_on_decoding_while_kv_is_on_its_way() -> None:
    slow = {"speedup_ratio": 100.0, "kv_transfer_bandwidth": len(PROMPT) * 131072 / 30 / 1e9}
    async with engine("prefill") as prefill, engine("decode", **slow) as decode:
        last = await prefilled(prefill, request())
        waiting = asyncio.create_task(collect(decode, replace(request(), handover=last.handover)))
        await until(lambda: active(decode) == 7)
        await collect(decode, request([1, 2, 3], 20))
        assert not waiting.done()
        assert len(said(await waiting)) == 8


async def test_what_nobody_fetches_is_free_after_a_while() -> None:
    async with engine("prefill", kv_keep_s=0.05) as prefill, engine("decode") as decode:
        last = await prefilled(prefill, request())
        await until(lambda: active(prefill) == 0)
        assert counter(prefill, "mock_kv_kept_expired_total") == 1
        with pytest.raises(TransferFailed, match="nothing is kept"):
            await collect(decode, replace(request(), handover=last.handover))
        assert active(decode) == 0


async def test_what_nobody_will_fetch_is_free_at_once() -> None:
    async with engine("prefill") as prefill:
        one, two = [await prefilled(prefill, request(PROMPT[n:])) for n in (0, 1)]
        assert one.handover is not None and two.handover is not None
        held = active(prefill)
        for _ in range(2):
            await prefill.let_go(one.handover)
        await until(lambda: 0 < active(prefill) < held)
        await prefill.let_go(two.handover)
        await until(lambda: active(prefill) == 0)
        await prefill.let_go(Handover("vllm", {}))


SLOW = {"speedup_ratio": 1.0, "kv_transfer_bandwidth": len(PROMPT) * 131072 / 60 / 1e9}


async def test_a_prefill_worker_that_goes_during_the_transfer_fails_it_at_once() -> None:
    async with engine("decode", **SLOW) as decode:
        async with engine("prefill") as prefill:
            last = await prefilled(prefill, request())
            waiting = asyncio.create_task(collect(decode, replace(request(), handover=last.handover)))
            await until(lambda: active(decode) == 7)
            await asyncio.sleep(0.05)
        with pytest.raises(TransferFailed, match=r"has gone|cannot be reached|what it keeps"):
            await asyncio.wait_for(waiting, 5)
        await until(lambda: active(decode) == 0)


async def test_a_prefill_worker_that_is_gone_before_the_transfer_fails_it_at_once() -> None:
    async with engine("decode") as decode:
        async with engine("prefill") as prefill:
            last = await prefilled(prefill, request())
        with pytest.raises(TransferFailed, match="cannot be reached"):
            await collect(decode, replace(request(), handover=last.handover))


async def test_both_sides_are_free_when_the_decoding_is_cancelled_during_the_transfer() -> None:
    async with engine("prefill") as prefill, engine("decode", **SLOW) as decode:
        last = await prefilled(prefill, request())
        context = Context("r")
        deltas = decode.generate(replace(request(), handover=last.handover), context)
        waiting = asyncio.create_task(anext(deltas))
        await until(lambda: active(decode) == 7)
        context.stop()
        assert (await waiting).finish_reason == "cancelled"
        await until(lambda: active(prefill) == active(decode) == 0)


async def test_both_sides_are_free_when_it_is_cancelled_before_there_is_room() -> None:
    async with engine("prefill") as prefill, engine("decode", num_gpu_blocks=7, speedup_ratio=0.01) as decode:
        last = await prefilled(prefill, request())
        busy = asyncio.create_task(collect(decode, request(list(range(200, 290)), 10)))
        await until(lambda: active(decode) > 0)
        context = Context("r")
        deltas = decode.generate(replace(request(), handover=last.handover), context)
        waiting = asyncio.create_task(anext(deltas))
        await asyncio.sleep(0)
        context.stop()
        assert (await waiting).finish_reason == "cancelled"
        await until(lambda: active(prefill) == 0)
        busy.cancel()


@pytest.mark.parametrize("options", [{"block_size": 32}, {"kv_bytes_per_token": 7}])
async def test_kv_of_another_form_is_not_taken(options: dict[str, int]) -> None:
    async with engine("prefill") as prefill, engine("decode", **options) as decode:
        last = await prefilled(prefill, request())
        with pytest.raises(TransferFailed, match="this one as"):
            await collect(decode, replace(request(), handover=last.handover))
        await until(lambda: active(prefill) == active(decode) == 0)


@pytest.mark.parametrize("handover", [Handover("vllm", {}), Handover("mock", {"host": 3}), Handover("mock", {})])
async def test_a_hand_over_that_it_does_not_understand_is_refused(handover: Handover) -> None:
    async with engine("decode") as decode:
        with pytest.raises(TransferFailed):
            await collect(decode, replace(request(), handover=handover))
        assert active(decode) == 0


async def test_only_a_prefill_worker_keeps_kv() -> None:
    async with engine("decode") as decode:
        with pytest.raises(EngineFailed, match="its role is not prefill"):
            await prefilled(decode, request())
        await until(lambda: active(decode) == 0)


async def test_a_kept_prompt_is_fetched_once() -> None:
    async with engine("prefill") as prefill, engine("decode", **SLOW) as decode, engine("decode") as other:
        last = await prefilled(prefill, request())
        waiting = asyncio.create_task(collect(decode, replace(request(), handover=last.handover)))
        await until(lambda: active(decode) == 7)
        await asyncio.sleep(0.05)
        with pytest.raises(TransferFailed, match="nothing is kept"):
            await collect(other, replace(request(), handover=last.handover))
        waiting.cancel()

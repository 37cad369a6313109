"""llama.cpp's workers prefill for each other: a prefill and a decode engine, and one that does it all by itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio

from dynamo_cli.disagg.transfer.base import Transfer
from dynamo_cli.errors import EngineFailed, InvalidRequest, TransferFailed
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage, SamplingOptions, StopConditions
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.instance import Role
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.llamacpp.engine import LlamaCppEngine
from dynamo_cli.workers.engines.llamacpp.spec import LlamaCppOptions
from dynamo_cli.workers.model import PreparedModel
from tests.disagg.transfer.test_contract import needs_nixl
from tests.workers.engines.cases import collect, said

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPT = [1, 9690, 198, 2683, 359, 253, 5356, 5646] * 6
LENGTHS = [1, 2, 5, 15, 16, 17, 33, 48]


class Pair(NamedTuple):
    prefill: LlamaCppEngine
    decode: LlamaCppEngine

    async def both(self, request: EngineRequest) -> list[Delta]:
        """What the decode worker answers, prefilled by the other one."""
        handover = await handover_of(self.prefill, request)
        return await collect(self.decode, msgspec.structs.replace(request, handover=handover))


def create(model: PreparedModel, role: Role, *, as_text: bool = False, **options: Any) -> LlamaCppEngine:
    launch = EngineLaunch(
        model_name="m",
        model_path=str(model.path),
        text_path="" if as_text else model.text_path,
        role=role,
        options=LlamaCppOptions(threads=1, max_model_len=512, **options),
        context_length=model.context_length,
    )
    engine = registry.spec("llamacpp").create(launch)
    assert isinstance(engine, LlamaCppEngine)
    return engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(default_model: PreparedModel) -> AsyncIterator[LlamaCppEngine]:
    engine = create(default_model, "aggregated")
    await engine.start()
    yield engine
    await engine.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(default_model: PreparedModel) -> AsyncIterator[Pair]:
    made = Pair(create(default_model, "prefill"), create(default_model, "decode"))
    for engine in made:
        await engine.start()
    yield made
    for engine in made:
        await engine.stop()


def greedy(token_ids: list[int], max_tokens: int = 12, **stop: Any) -> EngineRequest:
    return EngineRequest(
        "m",
        token_ids,
        sampling=SamplingOptions(temperature=0.0),
        stop=StopConditions(max_tokens=max_tokens, **{"ignore_eos": True, **stop}),
    )


async def handover_of(engine: LlamaCppEngine, request: EngineRequest) -> Handover:
    (delta,) = await collect(engine, msgspec.structs.replace(request, prefill_only=True))
    assert delta.handover is not None
    return delta.handover


def usage_of(deltas: list[Delta]) -> EngineUsage:
    assert deltas[-1].usage is not None
    return deltas[-1].usage


def transfer_of(engine: LlamaCppEngine) -> Transfer:
    assert engine.transfer is not None
    return engine.transfer


async def nothing_is_held(*engines: LlamaCppEngine) -> None:
    for engine in engines:
        for _ in range(500):
            if not transfer_of(engine).counts.held and not await engine.busy_slots():
                break
            await asyncio.sleep(0.01)
        else:
            raise AssertionError(f"{transfer_of(engine).counts}, {await engine.busy_slots()} slots busy")
        load = engine.load()
        assert load is not None and (load.running, load.waiting, load.active_prefill_tokens) == (0, 0, 0)


@pytest.mark.parametrize("length", LENGTHS)
async def test_the_text_is_that_of_one_worker(alone: LlamaCppEngine, pair: Pair, length: int) -> None:
    request = greedy(PROMPT[-length:])
    deltas = await pair.both(request)
    assert said(deltas) == said(await collect(alone, request))
    usage = usage_of(deltas)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.transferred_tokens) == (length, 12, length)
    assert usage.cached_tokens >= length - 1  # llama.cpp evaluates the last position again
    assert usage.transferred_bytes > 20_000 * length and usage.transfer_s > 0
    told = (usage.transferred_tokens, usage.transferred_bytes, usage.transfer_s)
    assert [delta.fetched for delta in deltas if delta.fetched is not None] == [told] == [deltas[0].fetched]
    await nothing_is_held(*pair)


async def test_what_is_prefilled_answers_one_delta_without_tokens(pair: Pair) -> None:
    request = msgspec.structs.replace(greedy(PROMPT, stop_token_ids=tuple(range(49152))), prefill_only=True)
    (delta,) = await collect(pair.prefill, request)
    assert (delta.token_ids, delta.finish_reason) == ([], "length")
    assert delta.usage is not None and (delta.usage.prompt_tokens, delta.usage.completion_tokens) == (len(PROMPT), 0)
    assert delta.handover is not None and delta.handover.family == "llamacpp"
    assert msgspec.json.decode(msgspec.json.encode(delta.handover), type=Handover) == delta.handover
    assert delta.usage.transferred_bytes == 0
    again = usage_of(await collect(pair.prefill, request))
    assert again.cached_tokens == len(PROMPT) - 1
    transfer_of(pair.prefill).offers.clear()


async def test_what_nobody_will_fetch_is_free_at_once(pair: Pair) -> None:
    handover = await handover_of(pair.prefill, greedy(PROMPT))
    assert transfer_of(pair.prefill).counts.held == 1
    for _ in range(2):
        await pair.prefill.let_go(handover)
    assert transfer_of(pair.prefill).counts.held == 0
    await pair.prefill.let_go(Handover("mock", {"id": "1"}))
    with pytest.raises(TransferFailed):
        await collect(pair.decode, msgspec.structs.replace(greedy(PROMPT), handover=handover))
    await nothing_is_held(*pair)


async def test_a_prefill_worker_answers_whole_requests_too(alone: LlamaCppEngine, pair: Pair) -> None:
    request = greedy(PROMPT[-33:])
    assert said(await collect(pair.prefill, request)) == said(await collect(alone, request))
    await nothing_is_held(*pair)


async def test_many_at_once_do_not_take_each_others_slots(alone: LlamaCppEngine, pair: Pair) -> None:
    requests = [greedy([1, 300 + n, *PROMPT[: 3 + n]]) for n in range(10)]
    got = await asyncio.gather(*(pair.both(request) for request in requests))
    for request, deltas in zip(requests, got, strict=True):
        assert said(deltas) == said(await collect(alone, request))
        assert usage_of(deltas).cached_tokens >= len(request.token_ids) - 1
    await nothing_is_held(*pair)


async def test_least_lengths_and_stops_are_those_of_one_worker(alone: LlamaCppEngine, pair: Pair) -> None:
    whole = said(await collect(alone, greedy(PROMPT)))
    request = greedy(PROMPT, stop_token_ids=(int(whole[4]),), min_tokens=2)
    assert said(await pair.both(request)) == said(await collect(alone, request))


async def test_without_a_hand_over_either_computes_by_itself(alone: LlamaCppEngine, pair: Pair) -> None:
    request = greedy([1, 777, *PROMPT[:9]])
    for engine in pair:
        deltas = await collect(engine, request)
        assert said(deltas) == said(await collect(alone, request))
        assert usage_of(deltas).cached_tokens < 5 and usage_of(deltas).transferred_tokens == 0


async def test_a_fetch_that_fails_fails_before_any_token_and_frees_the_slot(pair: Pair) -> None:
    request = greedy(PROMPT)
    handover = await handover_of(pair.prefill, request)
    transfer_of(pair.prefill).offers.clear()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nobody = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
    ticket = handover.params["ticket"]
    for wrong in (
        handover,
        Handover("vllm", handover.params),
        Handover("llamacpp", {}),
        Handover("llamacpp", {"ticket": {**ticket, "size": 0}}),
        Handover("llamacpp", {"ticket": {**ticket, "address": nobody}}),
        Handover("llamacpp", {"ticket": {**ticket, "transfer": "nixl"}}),
    ):
        with pytest.raises(TransferFailed):
            await collect(pair.decode, msgspec.structs.replace(request, handover=wrong))
    await nothing_is_held(*pair)
    assert len(said(await collect(pair.decode, request))) == 12


async def test_what_is_no_state_of_this_model_is_refused(pair: Pair) -> None:
    ticket = transfer_of(pair.prefill).offer(b"no state of llama.cpp" * 100)
    handover = Handover("llamacpp", {"ticket": msgspec.to_builtins(ticket)})
    with pytest.raises(TransferFailed, match="cannot take the KV"):
        await collect(pair.decode, msgspec.structs.replace(greedy(PROMPT), handover=handover))
    await nothing_is_held(*pair)


async def test_the_state_of_another_prompt_costs_time_and_no_token(alone: LlamaCppEngine, pair: Pair) -> None:
    handover = await handover_of(pair.prefill, greedy([1, 888, 889, 890]))
    request = greedy([1, *(3000 + n for n in range(20))])
    deltas = await collect(pair.decode, msgspec.structs.replace(request, handover=handover))
    assert said(deltas) == said(await collect(alone, request))
    assert usage_of(deltas).cached_tokens <= 1


async def test_a_stopped_prefill_offers_nothing(pair: Pair) -> None:
    offered = transfer_of(pair.prefill).counts.offered
    context = Context()
    request = msgspec.structs.replace(greedy([2000 + n for n in range(400)]), prefill_only=True)
    work = asyncio.create_task(collect(pair.prefill, request, context))
    while not await pair.prefill.busy_slots():
        await asyncio.sleep(0.01)
    context.stop()
    (delta,) = await work
    assert (delta.finish_reason, delta.handover) == ("cancelled", None)
    assert transfer_of(pair.prefill).counts.offered == offered
    await nothing_is_held(*pair)


async def test_a_request_stopped_while_it_fetches_frees_both_sides(pair: Pair) -> None:
    request = greedy(PROMPT)
    handover = await handover_of(pair.prefill, request)
    context = Context()
    work = asyncio.create_task(collect(pair.decode, msgspec.structs.replace(request, handover=handover), context))
    for _ in range(10_000):
        if any(offer.readers for offer in transfer_of(pair.prefill).offers):
            break
        await asyncio.sleep(0)
    context.stop()
    (delta,) = await work
    assert delta.finish_reason == "cancelled" and delta.handover is None
    await nothing_is_held(*pair)


async def test_a_prompt_that_does_not_fit_is_refused(pair: Pair) -> None:
    request = msgspec.structs.replace(greedy([300] * 512), prefill_only=True)
    with pytest.raises(InvalidRequest, match="do not fit"):
        await collect(pair.prefill, request)


async def test_a_worker_of_its_own_hands_nothing_over(alone: LlamaCppEngine) -> None:
    with pytest.raises(EngineFailed, match="role"):
        await collect(alone, msgspec.structs.replace(greedy(PROMPT), prefill_only=True))
    with pytest.raises(TransferFailed, match="role"):
        await collect(alone, msgspec.structs.replace(greedy(PROMPT), handover=Handover("llamacpp")))
    assert alone.metrics() == ""


async def test_it_tells_what_was_transferred(pair: Pair) -> None:
    await pair.both(greedy(PROMPT))
    counts = transfer_of(pair.decode).counts
    assert f"dynamo_kv_transfer_fetched_bytes_total {counts.fetched_bytes}\n" in pair.decode.metrics()
    assert "dynamo_kv_transfer_held 0\n" in pair.decode.metrics()


async def test_what_nobody_fetches_is_freed(default_model: PreparedModel) -> None:
    engine = create(default_model, "prefill")
    transfer_of(engine).offers.expiry_s = 0.05
    try:
        await engine.start()
        await handover_of(engine, greedy([1, 2, 3]))
        await nothing_is_held(engine)
        assert transfer_of(engine).counts.expired == 1
    finally:
        await engine.stop()


async def test_text_goes_the_same_way(default_model: PreparedModel, pair: Pair) -> None:
    text = Path(__file__).read_text()[:60]
    engine = create(default_model, "prefill", as_text=True)
    other = create(default_model, "decode", as_text=True)
    request = EngineRequest("m", prompt=text, sampling=SamplingOptions(temperature=0.0))
    request.stop = StopConditions(max_tokens=8)
    try:
        await asyncio.gather(engine.start(), other.start())
        deltas = await Pair(engine, other).both(request)
        alone = await collect(engine, request)
        assert "".join(delta.text for delta in deltas) == "".join(delta.text for delta in alone) != ""
        assert usage_of(deltas).cached_tokens == usage_of(deltas).prompt_tokens - 1
    finally:
        await asyncio.gather(engine.stop(), other.stop())


@needs_nixl
@pytest.mark.filterwarnings("ignore")
async def test_nixl_moves_the_same(default_model: PreparedModel, alone: LlamaCppEngine) -> None:
    pair = Pair(create(default_model, "prefill", transfer="nixl"), create(default_model, "decode", transfer="nixl"))
    try:
        await asyncio.gather(*(engine.start() for engine in pair))
        request = greedy(PROMPT)
        deltas = await pair.both(request)
        assert said(deltas) == said(await collect(alone, request))
        assert usage_of(deltas).cached_tokens == len(PROMPT) - 1
        await nothing_is_held(*pair)
    finally:
        await asyncio.gather(*(engine.stop() for engine in pair))

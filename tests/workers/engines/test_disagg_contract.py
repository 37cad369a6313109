"""What every engine promises that declares disaggregation "prefill_first", over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec
import pytest
import pytest_asyncio

from dynamo_cli.errors import TransferFailed
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.within import within
from dynamo_cli.workers.engine import Engine
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.model import PreparedModel
from tests.workers.engines.cases import CASES, NAMED, Case, collect, said

pytestmark = pytest.mark.asyncio(loop_scope="module")

BIG = (pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600))
PREFILL_FIRST = [case for case in CASES if registry.spec(case.name).disaggregation == "prefill_first"]
PARAMS = [pytest.param(case, marks=BIG if case.optional else (), id=str(case)) for case in PREFILL_FIRST]


class Workers(NamedTuple):
    case: Case
    alone: Engine
    prefill: Engine
    decode: Engine


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PARAMS)
async def workers(request: pytest.FixtureRequest) -> AsyncIterator[Workers]:
    case: Case = request.param
    if case.optional and case.name not in NAMED:
        pytest.skip(f"set DYN_TEST_ENGINES={case.name} to run it")

    def model() -> PreparedModel:
        found: PreparedModel = request.getfixturevalue("default_model")
        return found

    engines = [case.create(model, role=role) for role in ("aggregated", "prefill", "decode")]
    try:
        for engine in engines:
            await engine.start()
        yield Workers(case, *engines)
    finally:
        for engine in engines:
            await engine.stop()


async def prefilled(workers: Workers, request: EngineRequest) -> Delta:
    (delta,) = await collect(workers.prefill, msgspec.structs.replace(request, prefill_only=True))
    return delta


async def handed(workers: Workers, request: EngineRequest) -> EngineRequest:
    return msgspec.structs.replace(request, handover=(await prefilled(workers, request)).handover)


async def test_a_prefill_answers_one_delta_with_a_hand_over(workers: Workers) -> None:
    request = workers.case.request()
    delta = await prefilled(workers, request)
    assert delta.finish_reason == "length" and delta.usage is not None and delta.handover is not None
    assert delta.usage.prompt_tokens == len(request.token_ids)
    assert delta.usage.transferred_tokens == delta.usage.transferred_bytes == 0
    assert delta.handover.family == workers.case.name
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(delta.handover), type=Handover)
    assert said(await collect(workers.decode, msgspec.structs.replace(request, handover=sent)))


async def test_the_text_is_that_of_one_worker(workers: Workers) -> None:
    for salt in range(4):
        request = workers.case.request(12, salt=salt)
        deltas = await collect(workers.decode, await handed(workers, request))
        assert said(deltas) == said(await collect(workers.alone, request))
        assert [delta.finish_reason for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
        assert all(delta.handover is None for delta in deltas)


async def test_usage_tells_what_was_transferred(workers: Workers) -> None:
    request = workers.case.request(5, salt=20)
    usage = (await collect(workers.decode, await handed(workers, request)))[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (len(request.token_ids), 5)
    assert 0 < usage.transferred_tokens <= len(request.token_ids)
    assert usage.transferred_bytes > 0 and usage.transfer_s >= 0
    own = (await collect(workers.decode, workers.case.request(5, salt=21)))[-1].usage
    assert own is not None and own.transferred_tokens == own.transferred_bytes == 0


async def test_several_at_once(workers: Workers) -> None:
    requests = [workers.case.request(6, salt=30 + n) for n in range(6)]

    async def both(request: EngineRequest) -> list[Delta]:
        return await collect(workers.decode, await handed(workers, request))

    for request, deltas in zip(requests, await asyncio.gather(*map(both, requests)), strict=True):
        assert said(deltas) == said(await collect(workers.alone, request))


async def test_what_cannot_be_fetched_fails_before_any_delta(workers: Workers) -> None:
    request = await handed(workers, workers.case.request(salt=40))
    assert request.handover is not None
    await collect(workers.decode, request)
    # It has been fetched, is another engine's, or says nothing.
    for handover in (request.handover, Handover("nobody", request.handover.params), Handover(workers.case.name)):
        with pytest.raises(TransferFailed):
            await within(30, collect(workers.decode, msgspec.structs.replace(request, handover=handover)))
    assert len(said(await collect(workers.decode, workers.case.request(salt=41)))) == 8


async def test_a_stopped_prefill_ends_without_a_hand_over(workers: Workers) -> None:
    context = Context()
    context.stop()
    request = msgspec.structs.replace(workers.case.request(salt=50), prefill_only=True)
    (delta,) = await collect(workers.prefill, request, context)
    assert (delta.finish_reason, delta.handover) == ("cancelled", None)


async def test_a_stopped_decode_ends_cancelled(workers: Workers) -> None:
    request = await handed(workers, workers.case.request(200, salt=51))
    context = Context()
    deltas = []
    async for delta in workers.decode.generate(request, context):
        deltas.append(delta)
        context.stop()
    assert deltas[-1].finish_reason == "cancelled" and len(said(deltas)) < 100

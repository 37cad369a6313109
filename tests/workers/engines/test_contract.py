"""What every engine promises, over all of them."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from dynamo_cli.errors import EngineDied, InvalidRequest, PlaneError
from dynamo_cli.protocol.engine import GuidedDecoding, OutputOptions, SamplingOptions, StopConditions
from dynamo_cli.protocol.held_blocks import HeldBlocks
from dynamo_cli.protocol.kv import KvEvent, block_hashes
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.runtime.context import Context
from dynamo_cli.text.bundle import load_bundle
from dynamo_cli.workers.counts import RequestCounts
from dynamo_cli.workers.engine import Control, Engine, EngineInfo
from dynamo_cli.workers.model import PreparedModel
from tests import support_matrix
from tests.workers.engines.cases import CASES, CONTEXT, NAMED, Case, collect, said

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECORDS = bool(os.environ.get("DYN_TEST_RECORD"))
"""What engines declare is written down. Read when the tests are collected: a test's own environment has no DYN_*."""
Started = tuple[Case, Engine, EngineInfo]


# What a big engine warns of itself is its own affair.
BIG = (pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600))
PARAMS = [pytest.param(case, marks=BIG if case.optional else (), id=str(case)) for case in CASES]


@pytest.fixture(scope="module", params=PARAMS)
def case(request: pytest.FixtureRequest) -> Case:
    """Its engine can run; an optional one that nobody named is skipped, one that was named must not be."""
    found: Case = request.param
    why_not = found.missing()
    if why_not and found.name in NAMED:
        pytest.fail(f"DYN_TEST_ENGINES names {found.name}: {why_not}")
    if found.optional and found.name not in NAMED:
        pytest.skip(why_not or f"set DYN_TEST_ENGINES={found.name} to run it")
    return found


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest) -> Callable[[], PreparedModel]:
    """Finds the default model, fetched when it is not there yet."""
    return lambda: request.getfixturevalue("default_model")


async def test_every_engine_that_is_named_is_under_the_contract() -> None:
    assert set(NAMED) <= {case.name for case in CASES}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(case: Case, model: Callable[[], PreparedModel]) -> AsyncIterator[Started]:
    engine = case.create(model)
    info = await engine.start()
    yield case, engine, info
    await engine.stop()


async def test_it_says_what_it_is(started: Started) -> None:
    case, _, info = started
    assert info.input == case.takes
    if case.takes == "tokens":
        assert info.context_length == CONTEXT
        assert info.max_num_seqs >= 4


async def test_what_it_declares_is_what_the_support_matrix_tells(started: Started) -> None:
    case, _, info = started
    if RECORDS:
        support_matrix.record(str(case), info)
    recorded = json.loads(support_matrix.DECLARED.read_text())
    assert recorded.get(str(case)) == support_matrix.declared(info), "run `make support`"


async def test_greedy_generation_is_deterministic(started: Started) -> None:
    case, engine, _ = started
    first = said(await collect(engine, case.request(12)))
    assert len(first) == 12
    assert said(await collect(engine, case.request(12))) == first
    assert said(await collect(engine, case.request(12, salt=1))) != first


async def test_exactly_max_tokens_come_and_the_last_delta_ends_it(started: Started) -> None:
    case, engine, _ = started
    for wanted in (1, 7):
        deltas = await collect(engine, case.request(wanted))
        assert len(said(deltas)) == wanted
        assert [delta.finish_reason for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
        assert all(delta.usage is None for delta in deltas[:-1])
        assert deltas[-1].finish_reason == "length"


async def test_usage_counts(started: Started) -> None:
    case, engine, _ = started
    request = case.request(5)
    usage = (await collect(engine, request))[-1].usage
    assert usage is not None
    assert usage.completion_tokens == 5
    assert usage.prompt_tokens == (len(request.token_ids) or 65)
    assert 0 <= usage.cached_tokens < usage.prompt_tokens


async def test_a_stop_condition_ends_it_and_is_not_part_of_it(started: Started) -> None:
    case, engine, _ = started
    whole = said(await collect(engine, case.request(12)))
    stop = {"stop": (str(whole[3]).strip(),)} if case.takes == "text" else {"stop_token_ids": (whole[3],)}
    deltas = await collect(engine, case.request(12, **stop))
    before = whole[: whole.index(whole[3])]
    assert "".join(map(str, said(deltas))).rstrip() == "".join(map(str, before)).rstrip()
    assert deltas[-1].finish_reason == "stop"


async def test_min_tokens_holds_off_a_stop_token(started: Started) -> None:
    case, engine, _ = started
    if case.takes == "text":
        pytest.skip("text engines stop at strings")
    whole = said(await collect(engine, case.request(12)))
    request = case.request(12, stop_token_ids=(whole[2],), min_tokens=8)
    got = said(await collect(engine, request))
    # Until then it is passed over, or not chosen at all.
    assert got[:2] == whole[:2] and len(got) >= 8


async def test_logprobs_where_it_has_them(started: Started) -> None:
    case, engine, info = started
    request = case.request(12)
    request.output = OutputOptions(logprobs=3)
    if not info.logprobs:
        with pytest.raises(InvalidRequest, match="logprobs"):
            await collect(engine, request)
        return
    deltas = await collect(engine, request)
    assert all(len(delta.logprobs or []) == len(delta.token_ids) for delta in deltas)
    found = [logprob for delta in deltas for logprob in delta.logprobs or []]
    assert [one.token_id for one in found] == said(await collect(engine, case.request(12)))
    for one in found:
        assert one.logprob <= 0
        assert [logprob for _, logprob in one.top] == sorted((logprob for _, logprob in one.top), reverse=True)
        assert one.top[0] == (one.token_id, pytest.approx(one.logprob))  # it was greedy
        assert len(one.top) == 3
    request.output = OutputOptions(logprobs=0)
    assert all(one.top == [] for delta in await collect(engine, request) for one in delta.logprobs or [])


GUIDED = [
    (GuidedDecoding(json={"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"],
                          "additionalProperties": False}), r'\{\s*"a"\s*:\s*[12]\s*\}'),
    (GuidedDecoding(regex="[0-9]{3}/[a-c]{2}"), "[0-9]{3}/[a-c]{2}"),
    (GuidedDecoding(choice=('yes "\u2602"', "no\n")), 'yes "\u2602"|no\n'),
    (GuidedDecoding(grammar='root ::= ("x" | "y") "z"'), "[xy]z"),
]  # fmt: skip


@pytest.mark.parametrize(("guided", "form"), GUIDED, ids=lambda value: getattr(value, "kind", ""))
async def test_guided_decoding_where_it_can(
    started: Started, request: pytest.FixtureRequest, guided: GuidedDecoding, form: str
) -> None:
    case, engine, info = started
    asked = case.request(40)
    asked.stop = StopConditions(max_tokens=40)
    asked.guided = guided
    if guided.kind not in info.guided:
        with pytest.raises(InvalidRequest, match="guide"):
            await collect(engine, asked)
        return
    bundle = load_bundle(Path(request.getfixturevalue("default_model").text_path))
    for temperature in (0.0, 1.5):
        asked.sampling = SamplingOptions(temperature=temperature, seed=3)
        deltas = await collect(engine, asked)
        text = bundle.tokenizer.decode([token for delta in deltas for token in delta.token_ids])
        assert re.fullmatch(form, text), text
        assert deltas[-1].finish_reason == "stop"


@pytest.mark.parametrize(
    "guided",
    [
        GuidedDecoding(json={"$ref": "#/nowhere"}),
        GuidedDecoding(regex="(?=a)b"),
        GuidedDecoding(regex="[0-9"),
        GuidedDecoding(grammar="root ::= ("),
        GuidedDecoding(grammar="%llguidance {}\nstart: nothing"),
    ],
)
async def test_what_it_cannot_follow_is_refused_not_ignored(started: Started, guided: GuidedDecoding) -> None:
    case, engine, _ = started
    for _ in range(2):
        request = case.request(4)
        request.guided = guided
        with pytest.raises(InvalidRequest):
            await collect(engine, request)
    assert len(said(await collect(engine, case.request(3)))) == 3


async def test_four_streams_run_together(started: Started) -> None:
    case, engine, _ = started
    firsts, lasts = [], []

    async def one(salt: int) -> int:
        count = 0
        async for delta in engine.generate(case.request(24, salt=salt), Context()):
            if not count:
                firsts.append(time.monotonic())
            count += len(said([delta]))
        lasts.append(time.monotonic())
        return count

    assert await asyncio.gather(*(one(salt) for salt in range(10, 14))) == [24] * 4
    assert max(firsts) < min(lasts)


async def test_the_load_it_tells_is_that_of_its_sequences(started: Started) -> None:
    case, engine, info = started
    idle = engine.load()
    if idle is None:
        assert case.takes == "text"
        return
    assert idle == WorkerLoad(total_blocks=info.total_kv_blocks)
    streams = [engine.generate(case.request(60, salt=salt), Context()) for salt in range(20, 24)]
    firsts = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await asyncio.sleep(0)
    before = engine.load()
    assert before is not None
    assert before.active_prefill_tokens == 4 * len(case.request().token_ids)
    await asyncio.gather(*firsts)
    running = engine.load()
    assert running is not None
    assert (running.active_prefill_tokens, running.running, running.waiting) == (0, 4, 0)
    assert (running.active_decode_blocks > 0) == (info.total_kv_blocks > 0)
    for stream in streams:
        await stream.aclose()  # type: ignore[attr-defined]
    assert engine.load() == idle


@pytest.mark.alone
async def test_a_stopped_context_ends_it_within_200_ms(started: Started) -> None:
    case, engine, _ = started
    context = Context()
    stream = engine.generate(case.request(60), context)
    got = [await stream.__anext__() for _ in range(3)]
    began = time.monotonic()
    context.stop()
    rest = [delta async for delta in stream]
    assert time.monotonic() - began < 0.2
    assert rest[-1].finish_reason == "cancelled"
    assert rest[-1].usage is not None
    assert rest[-1].usage.completion_tokens == len(said(got + rest))
    assert len(said(await collect(engine, case.request(3)))) == 3


async def test_a_context_stopped_before_it_began(started: Started) -> None:
    case, engine, _ = started
    context = Context()
    context.stop()
    deltas = await collect(engine, case.request(8), context)
    assert said(deltas) == []
    assert deltas[-1].finish_reason == "cancelled"


async def test_a_closed_iterator_makes_room(started: Started) -> None:
    case, engine, info = started
    streams = [engine.generate(case.request(60, salt=salt), Context()) for salt in range(max(4, info.max_num_seqs % 9))]
    await asyncio.gather(*(stream.__anext__() for stream in streams))
    await asyncio.gather(*(stream.aclose() for stream in streams))  # type: ignore[attr-defined]
    assert len(said(await collect(engine, case.request(3)))) == 3


async def test_input_that_cannot_fit_is_an_invalid_request(started: Started) -> None:
    case, engine, _ = started
    if case.takes == "text":
        pytest.skip("no context length")
    for tokens, max_tokens in ((CONTEXT + 1, 1), (CONTEXT, 1), (CONTEXT - 5, 6), (0, 4)):
        request = case.request(max_tokens)
        request.token_ids = [5] * tokens
        with pytest.raises(InvalidRequest):
            await collect(engine, request)
    assert len(said(await collect(engine, case.request(3)))) == 3


async def test_without_max_tokens_it_fills_the_context(started: Started) -> None:
    case, engine, _ = started
    request = case.request(None)
    if case.takes == "tokens":
        request.token_ids = request.token_ids * 54
        assert len(said(await collect(engine, request))) == CONTEXT - len(request.token_ids)
    else:
        assert len(said(await collect(engine, request))) == 65


async def test_the_same_seed_gives_the_same_answer(started: Started) -> None:
    case, engine, _ = started
    answers = []
    for seed in (1, 1, 2):
        request = case.request(16)
        request.sampling = SamplingOptions(temperature=1.0, seed=seed)
        answers.append(said(await collect(engine, request)))
    assert answers[0] == answers[1]
    assert (answers[0] != answers[2]) == case.samples


async def test_its_events_are_what_it_has_cached(started: Started) -> None:
    """The blocks of a prompt that the events add up to are those which the prompt finds when it comes again."""
    case, engine, info = started
    if not info.kv_events:
        assert engine.on_kv_events is None
        return
    held = HeldBlocks()

    def told(events: list[KvEvent]) -> None:
        for event in events:
            held.apply(event)

    engine.on_kv_events = told
    request = case.request(4)
    request.token_ids = list(range(1000, 1000 + 3 * info.kv_block_size + 2))
    hashes = block_hashes(request.token_ids, info.kv_block_size)
    assert len(hashes) == 3
    await collect(engine, request)
    blocks = {block for message in held.events() for event in message for block in getattr(event, "hashes", ())}
    assert set(hashes) <= blocks
    deltas = await collect(engine, request)
    again = deltas[-1].usage
    assert again is not None
    assert again.cached_tokens == 3 * info.kv_block_size
    assert [delta.cached_tokens for delta in deltas] == [again.cached_tokens] + [0] * (len(deltas) - 1)
    other = case.request(4, salt=9)
    other.token_ids = list(range(5000, 5000 + 2 * info.kv_block_size))
    fresh = (await collect(engine, other))[-1].usage
    assert fresh is not None
    assert fresh.cached_tokens == 0
    if "clear_kv_blocks" in info.controls:
        await engine.control("clear_kv_blocks", {})
        assert held.events() == []
        cleared = (await collect(engine, request))[-1].usage
        assert cleared is not None
        assert cleared.cached_tokens == 0


async def test_its_statistics_are_series_with_a_type(started: Started) -> None:
    _, engine, _ = started
    lines = engine.metrics().splitlines()
    typed = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
    for line in lines:
        if line.startswith("#"):
            continue
        name, _, value = line.rpartition(" ")
        family = name.partition("{")[0]
        assert any(family.startswith(known) for known in typed), line
        float(value)


async def test_what_is_counted_around_it_is_what_it_did(started: Started) -> None:
    case, engine, info = started
    counts, requests = RequestCounts(info.prefix_caching), [case.request(7, salt=90 + n) for n in (0, 0, 1)]
    usages = []
    for request in requests:
        async for delta in counts.counted(engine.generate(request, Context()), request):
            usages += [delta.usage] if delta.usage else []
    assert counts.output == sum(usage.completion_tokens for usage in usages) == 21
    assert counts.prompt == counts.queried == sum(usage.prompt_tokens for usage in usages)
    assert counts.found == sum(usage.cached_tokens for usage in usages) <= counts.queried
    assert sum(counts.first_token.counts) == 3
    if not info.prefix_caching:
        assert counts.found == 0
    load = engine.load() or WorkerLoad()
    assert 0 <= load.active_decode_blocks <= load.total_blocks
    assert load.total_blocks == info.total_kv_blocks


async def test_it_does_what_it_declares_and_nothing_else(started: Started, tmp_path: Path) -> None:
    case, engine, info = started
    controls: tuple[Control, ...] = ("clear_kv_blocks", "sleep", "wake_up", "pause", "resume", "start_profile")
    for name in set(controls) - set(info.controls):
        with pytest.raises(NotImplementedError):
            await engine.control(name, {})
    if info.max_adapters:
        assert case.adapter is not None, "a case of an engine with adapters makes one"
        adapter = case.adapter(str(tmp_path))
        before = said(await collect(engine, case.request(8)))
        await engine.add_adapter(adapter)
        request = case.request(8)
        request.model = adapter.name
        assert len(said(await collect(engine, request))) == 8
        assert said(await collect(engine, case.request(8))) == before
        await engine.remove_adapter(adapter.name)
        with pytest.raises(InvalidRequest):
            await engine.add_adapter(type(adapter)("nothing", str(tmp_path / "nowhere")))


async def test_draining_lets_what_runs_end(case: Case, model: Callable[[], PreparedModel]) -> None:
    engine = case.create(model)
    await engine.start()
    try:
        stream = engine.generate(case.request(12), Context())
        got = [await stream.__anext__()]
        await engine.drain()
        got += [delta async for delta in stream]
        assert len(said(got)) == 12
        assert got[-1].finish_reason == "length"
    finally:
        await engine.stop()


async def test_a_crash_is_told_and_cuts_what_ran(case: Case, model: Callable[[], PreparedModel]) -> None:
    engine = case.create(model)
    await engine.start()
    try:
        watching = asyncio.ensure_future(engine.failed())
        stream = engine.generate(case.request(200), Context())
        await stream.__anext__()
        assert not watching.done()
        if case.crash is None:
            watching.cancel()
            await stream.aclose()  # type: ignore[attr-defined]
            return
        case.crash(engine)
        reason = await asyncio.wait_for(watching, 2)
        assert reason and "\n" not in reason
        with pytest.raises(PlaneError):
            async for _ in stream:
                pass
        with pytest.raises(PlaneError):
            await collect(engine, case.request(1))
    finally:
        await engine.stop()


async def test_stop_leaves_nothing(case: Case, model: Callable[[], PreparedModel], clean_environment: Path) -> None:
    tasks, children = asyncio.all_tasks(), set(psutil.Process().children(recursive=True))
    engine = case.create(model, str(clean_environment))
    before = sorted(clean_environment.iterdir())
    await engine.start()
    stream = engine.generate(case.request(60), Context())
    await stream.__anext__()
    await engine.stop()
    with pytest.raises((EngineDied, StopAsyncIteration)):
        while True:
            await stream.__anext__()
    with pytest.raises(EngineDied):
        await collect(engine, case.request(1))
    assert asyncio.all_tasks() <= tasks
    assert set(psutil.Process().children(recursive=True)) == children
    assert sorted(clean_environment.iterdir()) == before


async def test_stop_after_a_failed_start(case: Case, tmp_path: Path) -> None:
    engine = dataclasses.replace(case, needs_model=False).create(
        lambda: pytest.fail("no model is wanted"), str(tmp_path)
    )
    await engine.stop()
    assert list(tmp_path.iterdir()) == []

"""What every engine promises, over all of them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from dynamo_cli.errors import EngineDied, InvalidRequest
from dynamo_cli.protocol.engine import GuidedDecoding, OutputOptions, SamplingOptions, StopConditions
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.runtime.context import Context
from dynamo_cli.text.bundle import load_bundle
from dynamo_cli.workers.engine import Engine, EngineInfo
from tests.workers.engines.cases import CASES, CONTEXT, Case, collect, said

pytestmark = pytest.mark.asyncio(loop_scope="module")

Started = tuple[Case, Engine, EngineInfo]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    yield request.param


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(case: Case, request: pytest.FixtureRequest) -> AsyncIterator[Started]:
    engine = case.create(lambda: request.getfixturevalue("default_model"))
    info = await engine.start()
    yield case, engine, info
    await engine.stop()


async def test_it_says_what_it_is(started: Started) -> None:
    case, _, info = started
    assert info.input == case.takes
    if case.takes == "tokens":
        assert info.context_length == CONTEXT
        assert info.max_num_seqs >= 4


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
    stop = {"stop": ("word2",)} if case.takes == "text" else {"stop_token_ids": (whole[3],)}
    deltas = await collect(engine, case.request(12, **stop))
    assert "".join(map(str, said(deltas))).rstrip() == "".join(map(str, whole[: whole.index(whole[3])]))
    assert deltas[-1].finish_reason == "stop"


async def test_min_tokens_holds_off_a_stop_token(started: Started) -> None:
    case, engine, _ = started
    if case.takes == "text":
        pytest.skip("text engines stop at strings")
    whole = said(await collect(engine, case.request(12)))
    request = case.request(12, stop_token_ids=(whole[2],), min_tokens=8)
    assert said(await collect(engine, request))[:8] == whole[:8]


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


async def test_stop_leaves_nothing(case: Case, request: pytest.FixtureRequest, clean_environment: Path) -> None:
    tasks, children = asyncio.all_tasks(), set(psutil.Process().children(recursive=True))
    engine = case.create(lambda: request.getfixturevalue("default_model"), str(clean_environment))
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
    assert asyncio.all_tasks() == tasks
    assert set(psutil.Process().children(recursive=True)) == children
    assert sorted(clean_environment.iterdir()) == before


async def test_stop_after_a_failed_start(case: Case, tmp_path: Path) -> None:
    case_without_model = Case(case.name, case.takes, case.options)
    engine = case_without_model.create(lambda: pytest.fail("no model is wanted"), str(tmp_path))
    await engine.stop()
    assert list(tmp_path.iterdir()) == []

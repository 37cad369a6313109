"""What only the real engine can get wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from dynamo_cli.errors import EngineDied, EngineFailed, UsageError
from dynamo_cli.protocol.engine import (
    UNKNOWN_LOGPROB,
    EngineRequest,
    OutputOptions,
    SamplingOptions,
    StopConditions,
)
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.http.client import request
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.llamacpp.engine import LlamaCppEngine
from dynamo_cli.workers.engines.llamacpp.spec import LlamaCppOptions
from dynamo_cli.workers.model import PreparedModel
from tests.workers.engines.cases import collect, said

pytestmark = pytest.mark.asyncio(loop_scope="module")

SKY = [{"role": "user", "content": "What color is the sky?"}]


def create(model: PreparedModel, *args: str, as_text: bool = False, **options: int) -> LlamaCppEngine:
    launch = EngineLaunch(
        model_name="m",
        model_path=str(model.path),
        text_path="" if as_text else model.text_path,
        args=args,
        options=LlamaCppOptions(threads=1, **{"max_model_len": 2048, **options}),
        context_length=model.context_length,
    )
    engine = registry.spec("llamacpp").create(launch)
    assert isinstance(engine, LlamaCppEngine)
    return engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(default_model: PreparedModel) -> AsyncIterator[LlamaCppEngine]:
    made = create(default_model)
    await made.start()
    yield made
    await made.stop()


def tokens_of(model: PreparedModel, text: str) -> list[int]:
    from dynamo_cli.text.bundle import load_bundle

    return load_bundle(Path(model.text_path)).tokenizer.encode(text)


def greedy(token_ids: list[int], max_tokens: int, **stop: object) -> EngineRequest:
    return EngineRequest(
        "m",
        token_ids,
        sampling=SamplingOptions(temperature=0.0),
        stop=StopConditions(max_tokens=max_tokens, **stop),  # type: ignore[arg-type]
    )


async def freed_after(engine: LlamaCppEngine, began: float) -> float:
    while await engine.busy_slots():
        await asyncio.sleep(0.002)
    return time.monotonic() - began


async def test_the_sky_is_blue_and_the_end_of_sequence_is_not_in_the_answer(
    engine: LlamaCppEngine, default_model: PreparedModel
) -> None:
    from dynamo_cli.text.bundle import load_bundle

    bundle = load_bundle(Path(default_model.text_path))
    assert bundle.template is not None
    prompt = bundle.encode_chat(bundle.template.render(SKY))
    deltas = await collect(engine, greedy(prompt, 200, stop_token_ids=bundle.eos_token_ids))
    ids = [token for delta in deltas for token in delta.token_ids]
    assert "blue" in bundle.tokenizer.decode(ids)
    assert not set(ids) & set(bundle.eos_token_ids)
    assert deltas[-1].finish_reason == "stop"
    again = await collect(engine, greedy(prompt, 4))
    assert again[-1].usage is not None
    assert again[-1].usage.cached_tokens == again[0].cached_tokens == len(prompt) - 1
    assert not any(delta.cached_tokens for delta in again[1:])


@pytest.mark.parametrize("text", ["😀😀😀 日本語 😀😀😀 日本語 😀😀😀 日本", "é à ü — “x” é à ü — “x” é"])
async def test_characters_of_several_tokens_lose_no_token(
    engine: LlamaCppEngine, default_model: PreparedModel, text: str
) -> None:
    from dynamo_cli.text.bundle import load_bundle

    tokenizer = load_bundle(Path(default_model.text_path)).tokenizer
    deltas = await collect(engine, greedy(tokens_of(default_model, text), 30, ignore_eos=True))
    ids = [token for delta in deltas for token in delta.token_ids]
    assert deltas[-1].usage is not None and deltas[-1].usage.completion_tokens == 30
    assert 28 <= len(ids) <= 30
    assert "\ufffd" not in tokenizer.decode(ids)
    assert not tokenizer.decode(ids).isascii()
    one_by_one = await collect(engine, greedy(tokens_of(default_model, text), 30, ignore_eos=True))
    assert said(one_by_one) == ids


@pytest.mark.alone
async def test_a_cancelled_stream_frees_its_slot_within_200_ms(engine: LlamaCppEngine) -> None:
    took = []
    for _ in range(3):
        context = Context()
        stream = engine.generate(greedy([1, 2683, 198], 500, ignore_eos=True), context)
        for _ in range(5):
            await stream.__anext__()
        began = time.monotonic()
        context.stop()
        assert [delta.finish_reason async for delta in stream] == ["cancelled"]
        took.append(await freed_after(engine, began))
    assert max(took) < 0.2, took


async def test_a_cancelled_prompt_frees_its_slot(engine: LlamaCppEngine) -> None:
    context = Context()
    work = asyncio.create_task(collect(engine, greedy([500 + n for n in range(1800)], 5), context))
    while not await engine.busy_slots():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    began = time.monotonic()
    context.stop()
    assert said(await work) == []
    assert await freed_after(engine, began) < 2.0


@pytest.mark.alone
async def test_more_requests_than_slots_wait_their_turn_and_leave_the_queue_at_once(engine: LlamaCppEngine) -> None:
    contexts = [Context() for _ in range(6)]
    running = [
        asyncio.create_task(collect(engine, greedy([1, 300 + n], 30, ignore_eos=True), context))
        for n, context in enumerate(contexts)
    ]
    await asyncio.sleep(0.1)
    began = time.monotonic()
    contexts[5].stop()
    assert said(await running[5]) == []
    assert time.monotonic() - began < 0.05
    assert [len(said(await task)) for task in running[:5]] == [30] * 5


@pytest.mark.parametrize("text", ["\U0001f600\U0001f600\U0001f600 \u65e5\u672c\u8a9e \U0001f600\U0001f600"])
async def test_a_logprob_for_each_token_of_a_character(
    engine: LlamaCppEngine, default_model: PreparedModel, text: str
) -> None:
    asked = greedy(tokens_of(default_model, text), 20, ignore_eos=True)
    asked.output = OutputOptions(logprobs=1)
    deltas = await collect(engine, asked)
    found = [one for delta in deltas for one in delta.logprobs or []]
    assert [one.token_id for one in found] == said(deltas)
    unknown = [one for one in found if one.logprob == UNKNOWN_LOGPROB]
    assert 0 < len(unknown) < len(found)


async def test_every_seed_is_a_seed(engine: LlamaCppEngine) -> None:
    for seed in (-1, 2**32 - 1, -(2**63), 2**63 - 1):
        asked = greedy([1, 2683, 198], 8, ignore_eos=True)
        asked.sampling = SamplingOptions(temperature=1.5, top_p=1.0, min_p=0.0, seed=seed)
        assert said(await collect(engine, asked)) == said(await collect(engine, asked))


async def test_sampling_is_reproducible_by_seed(engine: LlamaCppEngine) -> None:
    def sampled(seed: int) -> EngineRequest:
        request = greedy([1, 2683, 198], 12, ignore_eos=True)
        request.sampling = SamplingOptions(temperature=1.5, top_k=200, top_p=1.0, min_p=0.0, seed=seed)
        return request

    first = said(await collect(engine, sampled(7)))
    assert said(await collect(engine, sampled(7))) == first
    assert said(await collect(engine, sampled(8))) != first


async def test_logit_bias_reaches_the_engine(engine: LlamaCppEngine) -> None:
    request = greedy([1, 2683, 198], 4, ignore_eos=True)
    request.sampling = SamplingOptions(temperature=0.0, logit_bias={504: 100.0})
    assert said(await collect(engine, request)) == [504] * 4


async def test_the_socket_refuses_strangers(engine: LlamaCppEngine) -> None:
    path = Path(engine._process.socket)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for route in ("/slots", "/props", "/completion", "/tokenize"):
        for method, body in (("GET", b""), ("POST", b'{"prompt": "x"}')):
            headers = {"content-type": "application/json"}
            async with await request(str(path), method, route, headers=headers, body=body) as answer:
                assert answer.status in (401, 404)
    child = psutil.Process(engine._process._process.pid)  # type: ignore[union-attr]
    assert [c for c in child.net_connections() if c.status == psutil.CONN_LISTEN] == []
    assert engine._process.key not in " ".join([*child.cmdline(), *child.environ().values()])


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
async def test_another_user_cannot_even_connect(engine: LlamaCppEngine) -> None:
    become_nobody = "import os, socket; os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    connect = f"socket.socket(socket.AF_UNIX).connect({engine._process.socket!r})"
    command = [sys.executable, "-c", f"{become_nobody}; {connect}"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert "PermissionError" in done.stderr


async def test_text_in_text_out(default_model: PreparedModel) -> None:
    engine = create(default_model, as_text=True, parallel=1)
    assert (await engine.start()).input == "text"
    request = EngineRequest(
        "m", messages=SKY, sampling=SamplingOptions(temperature=0.0), stop=StopConditions(max_tokens=60)
    )
    answer = "".join(delta.text for delta in await collect(engine, request))
    assert "blue" in answer
    request.stop = StopConditions(max_tokens=60, stop=("blue",))
    deltas = await collect(engine, request)
    assert "".join(delta.text for delta in deltas) == answer.partition("blue")[0]
    assert deltas[-1].finish_reason == "stop"
    completion = EngineRequest("m", prompt="One two three", stop=StopConditions(max_tokens=5))
    assert "".join(delta.text for delta in await collect(engine, completion))
    await engine.stop()


async def test_its_death_is_noticed_and_running_streams_fail(default_model: PreparedModel) -> None:
    engine = create(default_model, parallel=1)
    await engine.start()
    stream = engine.generate(greedy([1, 2683], 500, ignore_eos=True), Context())
    await stream.__anext__()
    process = engine._process._process
    assert process is not None
    os.kill(process.pid, signal.SIGABRT)
    assert await asyncio.wait_for(engine.failed(), 5) == "llama.cpp was ended by SIGABRT"
    with pytest.raises(EngineDied):
        while True:
            await stream.__anext__()
    await engine.stop()


async def test_a_file_that_is_no_model_is_one_clear_line(default_model: PreparedModel, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    engine = create(PreparedModel("m", broken, "gguf", "text"))
    with pytest.raises(EngineFailed, match=r"cannot load \S+; its own lines above say why$"):
        await engine.start()
    await engine.stop()


async def test_a_context_longer_than_the_model_is_refused(default_model: PreparedModel) -> None:
    with pytest.raises(UsageError, match="8192"):
        create(default_model, "--max-model-len", "9000")

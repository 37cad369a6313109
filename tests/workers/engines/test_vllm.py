"""The real vLLM on the CPU; runs where DYN_TEST_ENGINES names vllm."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from dynamo_cli.errors import Cancelled, DynamoError, EngineDied, InvalidRequest, ResourceMissing, UsageError
from dynamo_cli.protocol.engine import Delta, Embedding, EngineRequest, SamplingOptions, StopConditions
from dynamo_cli.protocol.kv import Cleared, KvEvent, Stored, block_hashes
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.runtime.context import Context
from dynamo_cli.supervisor.processes import command_line
from dynamo_cli.text.bundle import load_bundle
from dynamo_cli.workers.engine import Adapter
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.vllm.engine import VllmEngine
from dynamo_cli.workers.model import PreparedModel, readable
from dynamo_cli.workers.selftest import generate_one_token
from tests.workers.engines.adapters import HIDDEN, write_adapter
from tests.workers.engines.cases import CONTEXT, NAMED, VLLM, collect, real, said
from tests.workers.processes import worker

pytestmark = [pytest.mark.asyncio(loop_scope="module"), *real("vllm")]
BLOCK = 32
SKY = [{"role": "user", "content": "What color is the sky?"}]
if "vllm" in NAMED:
    # It lives as long as this process, so it must not be taken for one of a test.
    resource_tracker.ensure_running()


def create(model: PreparedModel, *args: str, runtime_dir: str = "") -> VllmEngine:
    spec = registry.spec("vllm")
    launch = EngineLaunch(
        model_name="base",
        model_path=str(readable(model, spec).path),
        text_path=model.text_path,
        args=(*VLLM.args, *args),
        runtime_dir=runtime_dir,
    )
    made = spec.create(launch)
    assert isinstance(made, VllmEngine)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(default_model: PreparedModel, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[VllmEngine]:
    made = create(default_model, runtime_dir=str(tmp_path_factory.mktemp("run")))
    info = await made.start()
    assert (info.kv_events, info.kv_block_size, info.max_adapters) == (True, BLOCK, 1)
    assert info.controls == ("clear_kv_blocks", "pause", "resume", "sleep", "wake_up")
    yield made
    await made.stop()


@pytest.fixture
def told(engine: VllmEngine) -> list[KvEvent]:
    """What its KV cache tells from now on."""
    events: list[KvEvent] = []
    engine.on_kv_events = events.extend
    return events


def greedy(token_ids: list[int], max_tokens: int = 8, model: str = "base", **stop: Any) -> EngineRequest:
    return EngineRequest(
        model,
        token_ids,
        sampling=SamplingOptions(temperature=0.0),
        stop=StopConditions(max_tokens=max_tokens, **{"ignore_eos": True} | stop),
    )


def prompt(salt: int, tokens: int = 3 * BLOCK + 4) -> list[int]:
    return [1000 + salt, *range(300, 299 + tokens)]


async def until(condition: Any, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def stored(events: list[KvEvent]) -> set[int]:
    return {block for event in events if isinstance(event, Stored) for block in event.hashes}


def cached(deltas: list[Delta]) -> int:
    assert deltas[-1].usage is not None
    return deltas[-1].usage.cached_tokens


async def test_the_sky_is_blue(engine: VllmEngine, default_model: PreparedModel) -> None:
    bundle = load_bundle(Path(default_model.text_path))
    assert bundle.template is not None
    asked = bundle.encode_chat(bundle.template.render(SKY))
    deltas = await collect(engine, greedy(asked, 200, ignore_eos=False, stop_token_ids=bundle.eos_token_ids))
    assert "blue" in bundle.tokenizer.decode(said(deltas))  # type: ignore[arg-type]
    assert deltas[-1].finish_reason == "stop"
    assert not set(said(deltas)) & set(bundle.eos_token_ids)


async def test_it_tells_what_it_has_cached(engine: VllmEngine, told: list[KvEvent]) -> None:
    asked = prompt(1)
    assert cached(await collect(engine, greedy(asked))) == 0
    assert cached(await collect(engine, greedy(asked))) == 3 * BLOCK
    await until(lambda: set(block_hashes(asked, BLOCK)) <= stored(told))


async def test_a_cleared_cache_is_told_at_once(engine: VllmEngine, told: list[KvEvent]) -> None:
    asked = prompt(2)
    await collect(engine, greedy(asked))
    await until(lambda: told)
    told.clear()
    running = asyncio.ensure_future(collect(engine, greedy(prompt(3), 40)))
    await until(lambda: engine._counts.load().running)
    assert await engine.control("clear_kv_blocks", {}) == {"status": "ok"}
    assert Cleared() in told
    assert len(said(await running)) == 40
    assert cached(await collect(engine, greedy(asked))) == 0
    await until(lambda: set(block_hashes(asked, BLOCK)) <= stored(told))
    assert told.count(Cleared()) == 1


async def test_sampling_options_reach_it(engine: VllmEngine) -> None:
    def asked(**sampling: Any) -> EngineRequest:
        request = greedy(prompt(4), 12)
        request.sampling = SamplingOptions(**sampling)
        return request

    seeded = asked(temperature=1.5, top_k=200, top_p=0.99, min_p=0.001, seed=2**64 - 1)
    first = said(await collect(engine, seeded))
    assert said(await collect(engine, seeded)) == first
    assert said(await collect(engine, asked(temperature=1.5, seed=8))) != first
    assert set(said(await collect(engine, asked(temperature=0.0, logit_bias={504: 100.0})))) == {504}
    repeated = said(await collect(engine, asked(temperature=0.0, logit_bias={504: 8.0, 505: 8.0})))
    varied = said(
        await collect(engine, asked(temperature=0.0, logit_bias={504: 8.0, 505: 8.0}, frequency_penalty=2.0,
                                    presence_penalty=2.0, repetition_penalty=2.0))
    )  # fmt: skip
    assert len(set(varied)) > len(set(repeated))
    for wrong in ({"temperature": -1.0}, {"top_p": 7.0}, {"logit_bias": {10**7: 1.0}}):
        with pytest.raises(InvalidRequest):
            await collect(engine, asked(**wrong))
    with pytest.raises(InvalidRequest, match="vocab"):
        await collect(engine, greedy([10**7]))


async def test_an_adapter_is_a_model_of_its_own(engine: VllmEngine, told: list[KvEvent], tmp_path: Path) -> None:
    asked = prompt(5)
    base = said(await collect(engine, greedy(asked)))
    with pytest.raises(InvalidRequest, match="neither base nor an adapter"):
        await collect(engine, greedy(asked, model="mine"))
    with pytest.raises(InvalidRequest, match="cannot load the adapter"):
        await engine.add_adapter(Adapter("broken", str(tmp_path / "nowhere")))
    await engine.add_adapter(Adapter("mine", str(write_adapter(tmp_path / "mine"))))
    with pytest.raises(InvalidRequest, match="places for adapters are taken"):
        await engine.add_adapter(Adapter("other", str(tmp_path / "mine")))
    deltas = await collect(engine, greedy(asked, model="mine"))
    assert said(deltas) != base and cached(deltas) == 0
    await until(lambda: set(block_hashes(asked, BLOCK, adapter="mine")) <= stored(told))
    assert said(await collect(engine, greedy(asked))) == base
    await engine.remove_adapter("mine")
    with pytest.raises(InvalidRequest):
        await collect(engine, greedy(asked, model="mine"))
    with pytest.raises(InvalidRequest, match="no adapter"):
        await engine.remove_adapter("mine")


async def test_paused_it_waits_and_goes_on(engine: VllmEngine) -> None:
    await engine.control("pause", {"mode": "keep", "clear_cache": False})
    waiting = asyncio.ensure_future(collect(engine, greedy(prompt(6))))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await engine.control("resume", {})
    assert len(said(await waiting)) == 8


async def test_it_sleeps_and_wakes_up(engine: VllmEngine, told: list[KvEvent]) -> None:
    asked = prompt(7)
    before = said(await collect(engine, greedy(asked)))
    await engine.control("sleep", {"level": 1})
    assert Cleared() in told
    await engine.control("wake_up", {})
    deltas = await collect(engine, greedy(asked))
    assert (said(deltas), cached(deltas)) == (before, 0)
    with pytest.raises(InvalidRequest, match="level"):
        await engine.control("sleep", {"level": 9})


async def test_its_own_series(engine: VllmEngine) -> None:
    text = engine.metrics()
    assert "# TYPE vllm:num_requests_running gauge" in text
    assert 'vllm:generation_tokens_total{engine="0",model_name="base"}' in text
    assert "python_gc" not in text


async def test_nothing_of_it_can_be_reached_from_elsewhere(engine: VllmEngine) -> None:
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    open_ = {link.laddr.ip for one in processes for link in one.net_connections("inet") if link.status == "LISTEN"}
    assert open_ <= {"127.0.0.1", "::1"}
    assert engine._process._directory is not None
    assert os.stat(engine._process._directory.path).st_mode & 0o777 == 0o700
    sockets = [link.laddr for one in processes for link in one.net_connections("unix") if str(link.laddr)]
    reachable = [path for path in sockets if str(path).startswith("/") and not _is_private(Path(str(path)))]
    assert reachable == []


def _is_private(path: Path) -> bool:
    """Another user cannot connect: to a directory it cannot enter, or a socket it cannot write."""
    closed = any(folder.exists() and not folder.stat().st_mode & 0o001 for folder in path.parents)
    return closed or not path.exists() or not path.stat().st_mode & 0o002


async def test_its_death_is_noticed_within_two_seconds(engine: VllmEngine) -> None:
    failed = asyncio.ensure_future(engine.failed())
    stream = engine.generate(greedy(prompt(8), 300), Context())
    await anext(stream)
    core = engine._process._cores[0]
    began = time.monotonic()
    assert core.pid is not None
    os.kill(core.pid, signal.SIGKILL)
    assert await asyncio.wait_for(failed, 5) == "vLLM was ended by SIGKILL"
    assert time.monotonic() - began < 2
    with pytest.raises(EngineDied):
        while True:
            await anext(stream)
    with pytest.raises(EngineDied):
        await collect(engine, greedy(prompt(9)))


async def test_a_pooling_model_makes_vectors(default_model: PreparedModel) -> None:
    made = create(default_model, "--runner", "pooling")
    info = await made.start()
    try:
        assert (info.embedding_size, info.guided, info.logprobs) == (HIDDEN, (), False)
        await generate_one_token(made, info, "base")
        one, same, other = [await made.embed(greedy(prompt(salt)), Context()) for salt in (1, 1, 2)]
        assert one == pytest.approx(same, abs=1e-4) and one != pytest.approx(other, abs=1e-4)
        with pytest.raises(InvalidRequest, match="makes embeddings"):
            await collect(made, greedy(prompt(1)))
        with pytest.raises(InvalidRequest, match="do not fit"):
            await made.embed(greedy([5] * 600), Context())
        assert len(await made.embed(greedy([5] * CONTEXT), Context())) == HIDDEN
        assert not info.dimensions
        shorter = greedy(prompt(1))
        shorter.embedding = Embedding(dimensions=8)
        with pytest.raises(InvalidRequest, match="does not support Matryoshka"):
            await made.embed(shorter, Context())
        stopped = Context()
        stopped.stop()
        with pytest.raises(Cancelled):
            await made.embed(greedy(prompt(3)), stopped)
        assert made.load() == WorkerLoad(total_blocks=info.total_kv_blocks)
    finally:
        await made.stop()


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--max-modl-len", "9"], "has no argument --max-modl-len; did you mean --max-model-len"),
        (["--max-model-len", "many"], "argument --max-model-len: invalid .* 'many'"),
        (["--dtype", "float99"], "argument --dtype: invalid choice: 'float99'"),
        (["--max-model-len", "9000"], r"max_model_len \(9000\) is greater than"),
        (["--tensor-parallel-size", "2"], r"attention heads \(9\) must be divisible by tensor parallel size \(2\)"),
        (["--data-parallel-size", "2", "--data-parallel-rank", "1"], "--data-parallel-rank spreads ranks over several"),
        (["--model", "other"], "the worker's own --model"),
        (["word"], "unexpected argument 'word'"),
    ],
)
async def test_wrong_arguments_are_one_line_in_its_own_words(
    default_model: PreparedModel, args: list[str], why: str
) -> None:
    made = create(default_model, *args)
    with pytest.raises(UsageError, match=why) as caught:
        await made.start()
    await made.stop()
    assert "\n" not in str(caught.value)


async def test_a_model_that_does_not_fit_names_the_flag(default_model: PreparedModel) -> None:
    made = create(default_model, "--max-model-len", "8192", "--kv-cache-memory-bytes", "64M")
    with pytest.raises(ResourceMissing, match=r"no memory for base: .*; give --max-model-len \d+, or a larger --kv"):
        await made.start()
    await made.stop()


async def test_data_parallel_ranks_are_one_worker(default_model: PreparedModel, tmp_path: Path) -> None:
    made = create(default_model, "--data-parallel-size", "2", runtime_dir=str(tmp_path))
    info = await made.start()
    try:
        assert (info.data_parallel_size, info.max_num_seqs, info.kv_events) == (2, 32, False)
        await generate_one_token(made, info, "base")
        asked = [collect(made, greedy(prompt(salt), 24)) for salt in range(6)]
        running = asyncio.gather(*asked)
        await until(lambda: len(made._counts._ranks) == 2, 60)
        assert made.load() is not None
        assert [len(said(deltas)) for deltas in await running] == [24] * 6
        failed = asyncio.ensure_future(made.failed())
        second = next(core for core in made._process._cores if core.name.endswith("DP1"))
        assert second.pid is not None
        os.kill(second.pid, signal.SIGKILL)
        assert await asyncio.wait_for(failed, 5) == "vLLM was ended by SIGKILL"
    finally:
        await made.stop()


async def test_stopped_while_it_starts_it_leaves_nothing(default_model: PreparedModel) -> None:
    made = create(default_model)
    starting = asyncio.ensure_future(made.start())
    await until(lambda: made._process._started(), 120)
    await made.stop()
    with pytest.raises(DynamoError):
        await starting
    assert not made._process._started()


async def test_a_killed_worker_takes_its_engine_along(clean_environment: Path, default_model: PreparedModel) -> None:
    path = str(readable(default_model, registry.spec("vllm")).path)
    before = segments()
    with worker(clean_environment, "worker", "--engine", "vllm", "--model", path, "--", *VLLM.args) as started:
        await until(lambda: "serving" in started.log or started.process.poll() is not None, 300)
        assert started.process.poll() is None, started.log
        children = psutil.Process(started.pid).children(recursive=True)
        assert len(children) >= 2
        started.process.kill()
        started.process.wait()
        _, alive = psutil.wait_procs(children, timeout=5)
        assert alive == []
    assert segments() <= before


async def test_a_worker_that_is_killed_while_it_starts_takes_its_engine_along(
    clean_environment: Path, default_model: PreparedModel
) -> None:
    """Before vLLM's plugins are loaded: then its processes wait for an answer of the worker, for minutes."""
    path = str(readable(default_model, registry.spec("vllm")).path)
    with worker(clean_environment, "worker", "--engine", "vllm", "--model", path, "--", *VLLM.args) as started:
        process = psutil.Process(started.pid)
        await until(lambda: _cores_of(process) or started.process.poll() is not None, 300)
        cores = _cores_of(process)
        assert cores, started.log
        started.process.kill()
        started.process.wait()
        _, alive = psutil.wait_procs(cores, timeout=5)
        assert alive == []


def _cores_of(process: psutil.Process) -> list[psutil.Process]:
    return [one for one in process.children() if any("spawn_main" in word for word in command_line(one.pid))]


def segments() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if name.startswith("psm_")}

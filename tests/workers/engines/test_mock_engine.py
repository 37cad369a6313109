from __future__ import annotations

import asyncio
import math
import time

import pytest

from dynamo_cli.errors import InvalidRequest, UsageError
from dynamo_cli.protocol.engine import EngineRequest, OutputOptions, StopConditions
from dynamo_cli.protocol.kv import KvEvent, Removed, Stored, block_hashes
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.mock.engine import MockEngine
from dynamo_cli.workers.engines.mock.simulation.timing import prefill_ms
from dynamo_cli.workers.engines.mock.spec import MockOptions
from tests.workers.engines.cases import collect, said


def engine(*args: str, **options: float) -> MockEngine:
    launch = EngineLaunch(model_name="m", options=MockOptions(**options), args=args)  # type: ignore[arg-type]
    made = registry.spec("mock").create(launch)
    assert isinstance(made, MockEngine)
    return made


def request(tokens: int = 8, max_tokens: int = 8) -> EngineRequest:
    return EngineRequest("m", list(range(tokens)), stop=StopConditions(max_tokens=max_tokens))


async def test_native_arguments_go_over_the_options() -> None:
    mock = engine("--block-size", "32", "--num-gpu-blocks=7", "--max-model-len", "100", block_size=16)
    info = await mock.start()
    await mock.stop()
    assert (info.kv_block_size, info.total_kv_blocks, info.context_length) == (32, 7, 100)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("--block-sise", "3"), "did you mean --block-size"),
        (("--block-size",), "needs a value"),
        (("--block-size", "0"), "block_size"),
        (("lonely",), "unexpected engine argument"),
        (("--max-num-seqs", "9000"), "max_num_batched_tokens"),
        (("--num-host-blocks", "-1"), "num_host_blocks"),
        (("--num-host-blocks", "1", "--enable-prefix-caching", "false"), "enable_prefix_caching is off"),
    ],
)
def test_wrong_arguments_are_one_clear_line(args: tuple[str, ...], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        engine(*args)


async def test_a_prompt_takes_its_simulated_time() -> None:
    mock = engine()
    await mock.start()
    began = time.monotonic()
    await collect(mock, request(100, 1))
    assert time.monotonic() - began >= prefill_ms(100) / 1000
    await mock.stop()


async def test_without_delay_the_loop_still_breathes() -> None:
    mock = engine(speedup_ratio=0)
    await mock.start()
    work = asyncio.gather(*(collect(mock, request(8, 2000)) for _ in range(8)))
    passes = 0
    while not work.done():
        await asyncio.sleep(0)
        passes += 1
    assert all(len(said(deltas)) == 2000 for deltas in await work)
    assert passes >= 2000
    await mock.stop()


async def test_all_tokens_of_a_step_are_delivered_in_one_pass_of_the_loop() -> None:
    mock = engine(speedup_ratio=10)
    await mock.start()
    passes: list[int] = []
    number = 0

    async def count() -> None:
        nonlocal number
        while True:
            number += 1
            await asyncio.sleep(0)

    async def read() -> None:
        passes.extend([number async for _ in mock.generate(request(8, 5), Context())])

    counter = asyncio.create_task(count())
    await asyncio.gather(*(read() for _ in range(10)))
    counter.cancel()
    assert len(set(passes)) <= 6
    await mock.stop()


async def test_a_slow_reader_gets_what_has_gathered() -> None:
    mock = engine(speedup_ratio=0)
    await mock.start()
    stream = mock.generate(request(8, 50), Context())
    await stream.__anext__()
    await asyncio.sleep(0.05)
    assert len((await stream.__anext__()).token_ids) == 49
    await mock.stop()


async def test_a_request_larger_than_the_cache_is_refused() -> None:
    mock = engine(num_gpu_blocks=2, block_size=4)
    await mock.start()
    with pytest.raises(InvalidRequest, match="KV cache of 8 tokens"):
        await collect(mock, request(6, 4))
    await mock.stop()


async def test_logprobs_could_be_true_and_are_always_the_same() -> None:
    mock = engine(speedup_ratio=0)
    await mock.start()
    asking = request(max_tokens=200)
    asking.output = OutputOptions(logprobs=5)
    deltas = await collect(mock, asking)
    found = [logprob for delta in deltas for logprob in delta.logprobs or []]
    assert [one.token_id for one in found] == said(deltas)
    for one in found:
        assert one.top[0] == (one.token_id, one.logprob)
        assert len({token for token, _ in one.top}) == 5
        assert [logprob for _, logprob in one.top] == sorted([logprob for _, logprob in one.top], reverse=True)
        assert sum(math.exp(logprob) for _, logprob in one.top) <= 1.0
    assert len({one.logprob for one in found}) > 150
    again = [logprob for delta in await collect(mock, asking) for logprob in delta.logprobs or []]
    assert again == found
    await mock.stop()


async def test_the_usage_says_what_was_cached() -> None:
    mock = engine(speedup_ratio=0, block_size=16)
    await mock.start()
    counts = []
    for tokens in (40, 40, 48, 48, 33):
        usage = (await collect(mock, request(tokens)))[-1].usage
        assert usage is not None
        counts.append(usage.cached_tokens)
    await mock.stop()
    # 40 prompt and 7 generated tokens fill two blocks; of three full ones the last is computed again.
    assert counts == [0, 32, 32, 32, 32]


async def test_events_tell_what_a_step_has_changed_once() -> None:
    mock = engine(speedup_ratio=0, block_size=4, num_gpu_blocks=6)
    await mock.start()
    await collect(mock, request(8, 1))
    told: list[list[KvEvent]] = []
    mock.on_kv_events = told.append
    tokens = list(range(8))
    await collect(mock, request(8, 1))
    assert told == [[Stored(block_hashes(tokens, 4))]]
    deltas = await collect(mock, EngineRequest("m", [9] * 12, stop=StopConditions(max_tokens=10)))
    await mock.stop()
    new = block_hashes([9] * 12 + said(deltas)[:-1], 4)
    assert told[1:] == [
        [Stored(new[:3])],
        [Stored(new[3:4])],
        [Removed(block_hashes(tokens, 4)[1:])],
        [Stored(new[4:5])],
        [Removed(block_hashes(tokens, 4)[:1])],
    ]


async def test_the_text_is_the_same_whatever_the_cache_does() -> None:
    asked = [request(20 + 7 * number, 60) for number in range(8)]
    asked += [EngineRequest("m", [5, *range(30), number], stop=StopConditions(max_tokens=50)) for number in range(4)]

    async def texts(**options: float) -> tuple[list[list[int] | list[str]], int]:
        mock = engine(speedup_ratio=0, block_size=4, max_num_batched_tokens=64, max_num_seqs=8, **options)
        await mock.start()
        deltas = await asyncio.gather(*(collect(mock, one) for one in asked))
        assert mock._simulator is not None and mock._simulator.pool.active == 0
        await mock.stop()
        return [said(one) for one in deltas], mock._simulator.preemptions

    roomy, never = await texts()
    tight, often = await texts(num_gpu_blocks=40)
    uncached, _ = await texts(num_gpu_blocks=40, enable_prefix_caching=False)
    tiered, _ = await texts(num_gpu_blocks=40, num_host_blocks=50)
    assert never == 0 < often
    assert roomy == tight == uncached == tiered
    # And another worker goes on from any place.
    moved = EngineRequest("m", [*asked[3].token_ids, *roomy[3][:17]], stop=StopConditions(max_tokens=43))  # type: ignore[list-item]
    asked[:] = [moved]
    assert (await texts())[0] == [roomy[3][17:]]

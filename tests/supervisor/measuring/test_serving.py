from __future__ import annotations

from collections.abc import AsyncIterator

from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.protocol.measures import WorkerMeasures
from dynamo_cli.supervisor.measuring.serving import Told, serving, told
from dynamo_cli.supervisor.measuring.window import Span
from dynamo_cli.workers.counts import RequestCounts

LABELS = '{model="m",engine="mock"}'


async def served(counts: RequestCounts, tokens: int, cached: int) -> None:
    async def answer() -> AsyncIterator[Delta]:
        yield Delta([1] * (tokens - 1))
        yield Delta([1], "length", usage=EngineUsage(100, tokens, cached))

    counts.requests += 1
    async for _ in counts.counted(answer(), EngineRequest("m", list(range(100)))):
        pass


def look(counts: RequestCounts, load: WorkerLoad) -> Told:
    found = told(counts.series(LABELS, load).encode())
    assert found is not None
    return found


async def test_what_a_worker_counts_is_what_is_measured() -> None:
    counts = RequestCounts(caches=True)
    await served(counts, 20, 0)
    before = look(counts, WorkerLoad(0, 200, 0, 0, 0))
    for _ in range(4):
        await served(counts, 5, 60)
    now = look(counts, WorkerLoad(50, 200, 0, 3, 1))
    found = serving(now, Span(before, now, 4.0))
    assert (found.running, found.waiting, found.kv_usage) == (3, 1, 0.25)
    assert (found.requests_s, found.prompt_tokens_s, found.output_tokens_s, found.hit) == (1.0, 100.0, 5.0, 0.6)
    assert found.ttft_p50_s is not None and found.ttft_p50_s <= 0.001


async def test_before_there_are_two_looks_there_are_no_rates() -> None:
    now = look(RequestCounts(caches=True), WorkerLoad(running=2))
    assert serving(now, None) == WorkerMeasures(running=2, waiting=0)
    assert serving(now, Span(now, now, 1.0)) == WorkerMeasures(
        running=2, waiting=0, requests_s=0.0, prompt_tokens_s=0.0, output_tokens_s=0.0
    )


async def test_an_engine_without_prefix_cache_has_no_hits() -> None:
    counts = RequestCounts(caches=False)
    before = look(counts, WorkerLoad())
    await served(counts, 5, 0)
    now = look(counts, WorkerLoad())
    assert serving(now, Span(before, now, 1.0)).hit is None


def test_what_is_no_worker_of_ours_is_not_measured() -> None:
    for text in (b"", b'{"status":"ready"}', b"vllm:num_requests_running 3\n"):
        assert told(text) is None

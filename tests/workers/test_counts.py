"""What a worker counts of the requests that it serves, whatever its engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dynamo_cli.errors import EngineFailed
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.workers.counts import RequestCounts

PROMPT = EngineRequest("m", [1, 2, 3, 4])


async def said(*deltas: Delta) -> AsyncIterator[Delta]:
    for delta in deltas:
        yield delta


async def counted(counts: RequestCounts, request: EngineRequest, *deltas: Delta) -> list[Delta]:
    return [delta async for delta in counts.counted(said(*deltas), request)]


def values(counts: RequestCounts, load: WorkerLoad | None = None) -> dict[str, float]:
    lines = counts.series('{model="m"}', load or WorkerLoad()).splitlines()
    parts = [line.removeprefix("dynamo_component_").rpartition(" ") for line in lines if not line.startswith("#")]
    return {name.replace('{model="m"}', ""): float(value) for name, _, value in parts}


async def test_tokens_count_as_they_come_and_prompts_with_the_first() -> None:
    counts = RequestCounts(caches=True)
    answers = counts.counted(said(Delta([7, 8]), Delta([9], "length", usage=EngineUsage(4, 3, 2))), PROMPT)
    await answers.__anext__()
    assert (counts.prompt, counts.output, counts.queried) == (4, 2, 0)
    assert [delta.token_ids async for delta in answers] == [[9]]
    assert (counts.output, counts.queried, counts.found) == (3, 4, 2)
    assert sum(counts.first_token.counts) == 1


async def test_the_usage_tells_of_what_an_engine_in_text_counts_itself() -> None:
    counts = RequestCounts(caches=False)
    usage = EngineUsage(11, 5)
    await counted(counts, EngineRequest("m", prompt="hi"), Delta(text="one"), Delta(finish_reason="stop", usage=usage))
    assert (counts.prompt, counts.output) == (11, 5)
    assert "prefix_cache_queries_total" not in values(counts)


async def test_a_prompt_that_is_handed_over_has_no_output() -> None:
    counts, handover = RequestCounts(caches=True), Handover("toy", {})
    request = EngineRequest("m", [1, 2], prefill_only=True)
    await counted(counts, request, Delta(finish_reason="length", usage=EngineUsage(2, 1), handover=handover))
    assert (counts.prompt, counts.output, sum(counts.first_token.counts)) == (2, 0, 1)


@pytest.mark.parametrize("meets", [True, False])
async def test_a_prompt_counts_where_it_is_computed(meets: bool) -> None:
    handover = Handover("toy", {})
    prefill, decode = RequestCounts(caches=True), RequestCounts(caches=True)
    first = EngineRequest("m", [1, 2], prefill_only=True, handover=handover if meets else None)
    await counted(prefill, first, Delta(finish_reason="length", usage=EngineUsage(2, 1, 1), handover=handover))
    then = EngineRequest("m", [1, 2], handover=handover)
    await counted(decode, then, Delta([3], "length", usage=EngineUsage(2, 1, 1)))
    assert (prefill.prompt, prefill.queried, prefill.found, prefill.output) == (2, 2, 1, 0)
    assert (decode.prompt, decode.queried, decode.found, decode.output) == (0, 0, 0, 1)


async def test_what_ends_before_its_first_token_has_no_time_to_it() -> None:
    counts = RequestCounts(caches=True)
    await counted(counts, PROMPT, Delta(finish_reason="cancelled"))

    async def broken() -> AsyncIterator[Delta]:
        raise EngineFailed("no")
        yield Delta()

    with pytest.raises(EngineFailed):
        [delta async for delta in counts.counted(broken(), PROMPT)]
    assert (counts.prompt, counts.output, sum(counts.first_token.counts)) == (0, 0, 0)


async def test_an_answer_that_nobody_reads_on_is_closed() -> None:
    closed = False

    async def endless() -> AsyncIterator[Delta]:
        nonlocal closed
        try:
            while True:
                yield Delta([1])
        finally:
            closed = True

    answers = RequestCounts(caches=True).counted(endless(), PROMPT)
    await answers.__anext__()
    await answers.aclose()
    assert closed


async def test_series() -> None:
    counts = RequestCounts(caches=True)
    await counted(counts, PROMPT, Delta([1], "length", usage=EngineUsage(4, 1, 4)))
    told = values(counts, WorkerLoad(3, 10, 0, 2, 1))
    assert told["prompt_tokens_total"] == told["prefix_cache_hits_total"] == 4
    assert (told["num_requests_running"], told["num_requests_waiting"]) == (2, 1)
    assert (told["active_blocks"], told["total_blocks"]) == (3, 10)
    assert told['time_to_first_token_seconds_bucket{model="m",le="+Inf"}'] == 1
    assert "total_blocks" not in values(counts, WorkerLoad(running=1))

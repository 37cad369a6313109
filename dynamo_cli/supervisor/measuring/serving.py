"""What a worker is doing, from what it tells of itself. Pure."""

from __future__ import annotations

from typing import NamedTuple

from dynamo_cli.protocol.measures import WorkerMeasures
from dynamo_cli.supervisor.measuring.buckets import Buckets, grown
from dynamo_cli.supervisor.measuring.families import Families, Reader
from dynamo_cli.supervisor.measuring.traffic import rate, rounded
from dynamo_cli.supervisor.measuring.window import Span

PREFIX = "dynamo_component_"
REQUESTS, PROMPT, OUTPUT = f"{PREFIX}requests_total", f"{PREFIX}prompt_tokens_total", f"{PREFIX}output_tokens_total"
QUERIED, FOUND = f"{PREFIX}prefix_cache_queries_total", f"{PREFIX}prefix_cache_hits_total"
RUNNING, WAITING = f"{PREFIX}num_requests_running", f"{PREFIX}num_requests_waiting"
ACTIVE_BLOCKS, TOTAL_BLOCKS = f"{PREFIX}active_blocks", f"{PREFIX}total_blocks"
FIRST_TOKEN = f"{PREFIX}time_to_first_token_seconds"
_READER = Reader(
    (
        *(REQUESTS, PROMPT, OUTPUT, QUERIED, FOUND, RUNNING, WAITING, ACTIVE_BLOCKS, TOTAL_BLOCKS),
        f"{FIRST_TOKEN}_bucket",
    )
)


class Told(NamedTuple):
    """Counts since its start; what it does now is None where it does not tell."""

    running: int | None
    waiting: int | None
    kv_usage: float | None
    requests: float
    prompt: float
    output: float
    queried: float
    found: float
    first_token: Buckets


def told(text: bytes) -> Told | None:
    """None of a process that tells nothing of the kind: one that loads, or that is none of our workers."""
    found = _READER.read(text)
    if RUNNING not in found:
        return None
    return Told(
        running=_count(found, RUNNING),
        waiting=_count(found, WAITING),
        kv_usage=_kv_usage(found),
        requests=found.total(REQUESTS),
        prompt=found.total(PROMPT),
        output=found.total(OUTPUT),
        queried=found.total(QUERIED),
        found=found.total(FOUND),
        first_token=found.buckets(FIRST_TOKEN),
    )


def serving(now: Told, span: Span[Told] | None) -> WorkerMeasures:
    """`span` up to `now`, None before there is one: then there are no rates."""
    if span is None:
        return WorkerMeasures(running=now.running, waiting=now.waiting, kv_usage=now.kv_usage)
    before, _, seconds = span
    queried = grown(before.queried, now.queried)
    return WorkerMeasures(
        running=now.running,
        waiting=now.waiting,
        kv_usage=now.kv_usage,
        hit=round(min(1.0, grown(before.found, now.found) / queried), 4) if queried else None,
        requests_s=rate(before.requests, now.requests, seconds),
        prompt_tokens_s=rate(before.prompt, now.prompt, seconds),
        output_tokens_s=rate(before.output, now.output, seconds),
        ttft_p50_s=rounded(now.first_token.since(before.first_token).quantile(0.5)),
    )


def _count(found: Families, name: str) -> int | None:
    return int(found.total(name)) if name in found else None


def _kv_usage(found: Families) -> float | None:
    total = found.total(TOTAL_BLOCKS)
    return round(min(1.0, found.total(ACTIVE_BLOCKS) / total), 4) if total else None

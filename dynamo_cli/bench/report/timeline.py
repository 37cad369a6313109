"""A run over time: when tokens arrived and how many requests were in flight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from dynamo_cli.bench.record import RequestRecord


def token_times(record: RequestRecord) -> Iterator[float]:
    """When each token of a complete answer arrived, in ms since the run began; all at its end without a stream."""
    if record.ttft_ms is None:
        return iter([record.end_ms] * record.completion_tokens)
    first = record.sent_ms + record.ttft_ms
    times = accumulate(record.itl_ms, initial=first)
    return times if record.completion_tokens else iter(())


def token_counts(records: Iterable[RequestRecord], window_ms: float, duration_ms: float) -> list[int]:
    """Tokens that arrived in each window since the run began; the last window may be a part of one."""
    last = max(0, int(duration_ms / window_ms - 1e-9))
    counts = [0] * (last + 1)
    for record in records:
        if record.ok:
            for time in token_times(record):
                counts[min(last, max(0, int(time / window_ms)))] += 1
    return counts


def in_flight(records: Sequence[RequestRecord]) -> list[tuple[float, int]]:
    """(ms, requests in flight from then on), one entry per moment at which the number changes."""
    changes = sorted([(r.sent_ms, 1) for r in records] + [(r.end_ms, -1) for r in records])
    steps: list[tuple[float, int]] = []
    level = 0
    for time, change in changes:
        level += change
        if steps and steps[-1][0] == time:
            steps[-1] = (time, level)
        else:
            steps.append((time, level))
    return steps


def peak_concurrency(records: Sequence[RequestRecord]) -> int:
    return max((level for _, level in in_flight(records)), default=0)

"""What came of the requests, as records, on the clock of the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.sample import Sample
from dynamo_cli.bench.work.stock import Prepared

SHORTEST_SLEEP_S = 0.001
"""Timers of the event loop have whole milliseconds."""

Watch = Callable[[RequestRecord], bool]


class Log:
    """`watch` sees every record and says whether enough is known; then `enough` is set."""

    def __init__(self, watch: Watch | None = None) -> None:
        self.records: list[RequestRecord] = []
        self.errors = 0
        self.enough = asyncio.Event()
        self._watch = watch
        self._ids = 0
        self._origin = time.perf_counter()

    @property
    def now_s(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._origin

    async def until(self, due_s: float) -> None:
        """At once when that has passed; never early."""
        while (left := due_s - self.now_s) > 0:  # noqa: ASYNC110
            await asyncio.sleep(max(left, SHORTEST_SLEEP_S))

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def add(self, number: int, prepared: Prepared, due_s: float | None, sample: Sample) -> None:
        record = _record(number, prepared, due_s, sample.started - self._origin, sample)
        self.records.append(record)
        self.errors += bool(record.error)
        if self._watch is not None and self._watch(record):
            self.enough.set()


def _record(number: int, prepared: Prepared, due_s: float | None, sent_s: float, sample: Sample) -> RequestRecord:
    """`due_s`: None for at once."""
    chunks = _ms_list(sample.between_reads_s())
    one_each = sample.completion_tokens == len(sample.reads)
    return RequestRecord(
        id=number,
        due_ms=_ms(sent_s if due_s is None else due_s),
        sent_ms=_ms(sent_s),
        e2e_ms=_ms(sample.e2e_s),
        ttft_ms=None if sample.ttft_s is None else _ms(sample.ttft_s),
        tpot_ms=None if sample.tpot_s is None else _ms(sample.tpot_s),
        itl_ms=chunks if one_each else _ms_list(sample.inter_token_s()),  # one list: long runs have many of them
        chunk_ms=chunks,
        prompt_tokens=sample.prompt_tokens,
        cached_tokens=sample.cached_tokens,
        completion_tokens=sample.completion_tokens,
        requested_tokens=prepared.max_tokens,
        tokens_from="usage" if sample.counted_by_usage else "chunks",
        session=prepared.conversation.number,
        turn=prepared.turn,
        worker=sample.worker,
        error=sample.error,
        detail=sample.detail,
        cancelled=sample.cancelled,
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)


def _ms_list(seconds: list[float]) -> list[float]:
    return [round(value * 1e3, 3) for value in seconds]

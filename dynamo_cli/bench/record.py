"""What a run leaves on disk: one record per request, one summary per run."""

from __future__ import annotations

from typing import Any

import msgspec

from dynamo_cli.bench.report import Report

SCHEMA_VERSION = 1


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of requests.jsonl. Times are milliseconds; `due_ms` and `sent_ms` since the run began.

    `due_ms`: when the schedule wanted it sent; equal to `sent_ms` in a closed loop. `e2e_ms`, `ttft_ms`: since it was
    sent. `itl_ms`: the time before each token after the first, the gap before a chunk shared by the tokens it carried.
    `chunk_ms`: the gap before each chunk after the first. `tokens_from`: "usage" for the server's own count, "chunks"
    when it gave none. `session` and `turn` number a conversation of several turns. `worker`: the instance that
    answered, when the server tells. `error` is empty for a complete answer; a request that was cancelled on purpose is
    neither complete nor an error.
    """

    id: int
    due_ms: float
    sent_ms: float
    e2e_ms: float
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    itl_ms: list[float] = []
    chunk_ms: list[float] = []
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    requested_tokens: int = 0
    tokens_from: str = "usage"
    session: int = 0
    turn: int = 0
    worker: str = ""
    error: str = ""
    detail: str = ""
    cancelled: bool = False


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One load level: a run has one, a sweep several. `rate`: requests per second offered, None for a closed loop."""

    label: str
    report: Report
    concurrency: int | None = None
    rate: float | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """summary.json. `created`: seconds since the epoch. `host`: CPU, memory, GPUs, Python, version of this client."""

    schema_version: int = SCHEMA_VERSION
    created: float
    mode: str
    args: dict[str, Any]
    host: dict[str, Any]
    points: list[Point]

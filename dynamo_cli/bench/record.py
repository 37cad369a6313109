"""What a run leaves on disk: one record per request, one summary per run."""

from __future__ import annotations

from typing import Any

import msgspec

from dynamo_cli.bench.report import Report

SCHEMA_VERSION = 1


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of requests.jsonl. Times are milliseconds; `due_ms` and `sent_ms` since the run began.

    `itl_ms`: the time before each token after the first. `session` and `turn` number a conversation of several turns.
    `error` is empty for a complete answer; a request that was cancelled on purpose is neither complete nor an error.
    """

    id: int
    due_ms: float
    sent_ms: float
    e2e_ms: float
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    itl_ms: list[float] = []
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    requested_tokens: int = 0
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

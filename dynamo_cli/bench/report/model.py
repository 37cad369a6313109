"""The figures of a run as data: what --json prints and summary.json holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dynamo_cli.bench.cpu import Usage

SCHEMA_VERSION = 1


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A metric over all of a run's values, in the unit its field names. `p999` is the 99.9th percentile."""

    mean: float
    std: float
    min: float
    p1: float
    p5: float
    p10: float
    p25: float
    p50: float
    p75: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float


class ProcessUse(msgspec.Struct, frozen=True):
    cpu_s: float
    cores: float
    ms_per_request: float
    s_per_100k_tokens: float
    rss_mb: float


class WorkerShare(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker answered."""

    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    ttft_p50_ms: float | None


class Goodput(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the load met the SLO. `share` and `by_limit` are of all requests that were not cancelled.

    `misses` says in words what kept this level from meeting the SLO; empty when it met it.
    """

    slo: str
    requests: int
    requests_per_s: float
    share: float
    by_limit: dict[str, float]
    misses: list[str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One load level. Token counts are of complete answers.

    `tokens_from`: whether they are the server's own ("usage"), counted chunks ("chunks"), or some of each ("mixed").
    `lag_ms`: how long after its schedule each request was sent; None without a schedule. `ttst_ms`: from the first
    token to the second. `chunk_ms`: between chunks, however many tokens they carry. `user_tokens_per_s`: the speed one
    user sees. `length_mismatches`: complete answers of another length than was asked for. `client_limit` says why the
    client, and not the server, was the limit; empty when it was not.
    """

    url: str
    model: str
    concurrency: int | None
    stream: bool
    requests: int
    ok: int
    cancelled: int
    errors: dict[str, int]
    error_details: dict[str, str]
    error_sample: str
    duration_s: float
    requests_per_s: float
    output_tokens_per_s: float
    peak_output_tokens_per_s: float
    total_tokens_per_s: float
    peak_concurrency: int
    prompt_tokens: int
    cached_tokens: int
    cached_share: float
    completion_tokens: int
    length_mismatches: int
    tokens_from: str
    ttft_ms: Spread | None
    ttst_ms: Spread | None
    itl_ms: Spread | None
    chunk_ms: Spread | None
    tpot_ms: Spread | None
    e2e_ms: Spread | None
    lag_ms: Spread | None
    user_tokens_per_s: Spread | None
    goodput: Goodput | None
    workers: dict[str, WorkerShare]
    processes: dict[str, ProcessUse]
    client_cpu_s: float
    client_cores: float
    client_limited: bool
    client_limit: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for and what was measured around the requests. `concurrency`: the cap, None without one."""

    url: str
    model: str
    concurrency: int | None
    stream: bool
    duration_s: float
    client_cpu_s: float
    processes: Mapping[str, Usage]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One load level: a run has one, a sweep several. `rate`: requests per second offered, None for a closed loop."""

    label: str
    report: Report
    concurrency: int | None = None
    rate: float | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """summary.json. `created`: seconds since the epoch. `host`: what `host_facts` gives.

    `found`: the label of the point a search settled on, such as the highest rate that meets the SLO; None when it found
    none or nothing was searched. `remarks`: lines for people that belong to the whole run.
    """

    schema_version: int = SCHEMA_VERSION
    created: float
    mode: str
    args: dict[str, Any]
    host: dict[str, Any]
    points: list[Point]
    found: str | None = None
    remarks: list[str] = []

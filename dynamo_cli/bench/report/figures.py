"""Figures of one load level from its request records; docs/bench.md defines each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from dynamo_cli.bench.cpu import Usage
from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report.model import Goodput, ProcessUse, Report, Run, Spread, WorkerShare
from dynamo_cli.bench.report.spread import percentile, spread
from dynamo_cli.bench.report.timeline import peak_concurrency, token_counts
from dynamo_cli.bench.slo import Slo

CLIENT_LIMIT_CORES = 0.85
CLIENT_LIMIT_LAG_MS = 10.0


def make_report(run: Run, records: Sequence[RequestRecord], slo: Slo | None = None) -> Report:
    """Of records alone, so that a report can be made again from requests.jsonl."""
    good = [record for record in records if record.ok]
    prompt_tokens = sum(record.prompt_tokens for record in good)
    cached_tokens = sum(record.cached_tokens for record in good)
    tokens = sum(record.completion_tokens for record in good)
    mean_tokens_per_s = tokens / run.duration_s
    lag = _lag(records)
    cores = run.client_cpu_s / run.duration_s
    peak = peak_concurrency(records)
    capped = run.concurrency is not None and peak >= run.concurrency
    limit = _client_limit(cores, None if capped else lag)
    errors = Counter(record.error for record in records if record.error)
    details = _first_details(records)
    spreads = _spreads(good)
    return Report(
        url=run.url,
        model=run.model,
        concurrency=run.concurrency,
        stream=run.stream,
        requests=len(records),
        ok=len(good),
        cancelled=sum(record.cancelled for record in records),
        errors=dict(errors.most_common()),
        error_details={kind: details[kind] for kind, _ in errors.most_common() if kind in details},
        error_sample=next((record.detail for record in records if record.error and record.detail), ""),
        duration_s=round(run.duration_s, 3),
        requests_per_s=round(len(good) / run.duration_s, 3),
        output_tokens_per_s=round(mean_tokens_per_s, 1),
        peak_output_tokens_per_s=round(max(mean_tokens_per_s, _peak_per_s(good, run.duration_s)), 1),
        total_tokens_per_s=round((prompt_tokens + tokens) / run.duration_s, 1),
        peak_concurrency=peak,
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        cached_share=round(cached_tokens / max(1, prompt_tokens), 4),
        completion_tokens=tokens,
        length_mismatches=sum(0 < r.requested_tokens != r.completion_tokens for r in good),
        tokens_from=_tokens_from(good),
        **spreads,
        lag_ms=lag,
        goodput=_goodput(slo, records, run.duration_s, spreads) if slo else None,
        workers=_workers(good),
        processes={n: _process_use(u, run.duration_s, len(good), tokens) for n, u in run.processes.items()},
        client_cpu_s=round(run.client_cpu_s, 3),
        client_cores=round(cores, 2),
        client_limited=bool(limit),
        client_limit=limit,
    )


def _spreads(good: Sequence[RequestRecord]) -> dict[str, Spread | None]:
    tpot = [record.tpot_ms for record in good if record.tpot_ms is not None]
    itl = spread(gap for record in good for gap in record.itl_ms)
    one_token_each = all(record.chunk_ms == record.itl_ms for record in good)
    return {
        "ttft_ms": spread(record.ttft_ms for record in good if record.ttft_ms is not None),
        "ttst_ms": spread(record.itl_ms[0] for record in good if record.itl_ms),
        "itl_ms": itl,
        "chunk_ms": itl if one_token_each else spread(gap for record in good for gap in record.chunk_ms),
        "tpot_ms": spread(tpot),
        "e2e_ms": spread(record.e2e_ms for record in good),
        "user_tokens_per_s": spread(1e3 / time for time in tpot if time > 0),
    }


def _lag(records: Sequence[RequestRecord]) -> Spread | None:
    """None when every request was due when it was sent: a closed loop."""
    lags = [record.sent_ms - record.due_ms for record in records]
    return spread(lags) if any(lags) else None


def _client_limit(cores: float, lag: Spread | None) -> str:
    """Why the client was the limit. `lag`: None when something else explains why requests were sent late."""
    if cores >= CLIENT_LIMIT_CORES:
        return f"it used {cores:.2f} of one core"
    if lag is not None and lag.p99 > CLIENT_LIMIT_LAG_MS:
        return f"1 % of its requests were {lag.p99:.0f}+ ms late"
    return ""


def _first_details(records: Iterable[RequestRecord]) -> dict[str, str]:
    details: dict[str, str] = {}
    for record in records:
        if record.error and record.detail:
            details.setdefault(record.error, record.detail)
    return details


def _peak_per_s(good: Sequence[RequestRecord], duration_s: float) -> float:
    """Most tokens that arrived in one of the 1 s windows since the run began; 0 for a shorter run."""
    return float(max(token_counts(good, 1e3, duration_s * 1e3))) if duration_s >= 1 else 0.0


def _tokens_from(good: Iterable[RequestRecord]) -> str:
    sources = sorted({record.tokens_from for record in good})
    return "mixed" if len(sources) > 1 else "".join(sources) or "usage"


def _goodput(
    slo: Slo, records: Sequence[RequestRecord], duration_s: float, spreads: dict[str, Spread | None]
) -> Goodput:
    asked = [record for record in records if not record.cancelled]
    met = sum(map(slo.met_by, asked))
    share, by_limit = round(met / max(1, len(asked)), 4), slo.shares(asked)
    return Goodput(
        slo=str(slo),
        requests=met,
        requests_per_s=round(met / duration_s, 3),
        share=share,
        by_limit=by_limit,
        misses=slo.reasons(share, by_limit, spreads),
    )


def _workers(good: Iterable[RequestRecord]) -> dict[str, WorkerShare]:
    by_worker: dict[str, list[RequestRecord]] = defaultdict(list)
    for record in good:
        if record.worker:
            by_worker[record.worker].append(record)
    return {name: _worker_share(records) for name, records in sorted(by_worker.items())}


def _worker_share(records: Sequence[RequestRecord]) -> WorkerShare:
    ttft = sorted(record.ttft_ms for record in records if record.ttft_ms is not None)
    return WorkerShare(
        requests=len(records),
        prompt_tokens=sum(record.prompt_tokens for record in records),
        cached_tokens=sum(record.cached_tokens for record in records),
        completion_tokens=sum(record.completion_tokens for record in records),
        ttft_p50_ms=round(percentile(ttft, 50), 3) if ttft else None,
    )


def _process_use(use: Usage, duration_s: float, requests: int, tokens: int) -> ProcessUse:
    return ProcessUse(
        cpu_s=round(use.cpu_s, 3),
        cores=round(use.cpu_s / duration_s, 2),
        ms_per_request=round(use.cpu_s / max(1, requests) * 1e3, 4),
        s_per_100k_tokens=round(use.cpu_s / max(1, tokens) * 1e5, 3),
        rss_mb=round(use.rss_bytes / 2**20, 1),
    )

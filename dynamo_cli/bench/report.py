"""Figures of a run, from its samples; as data and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from dynamo_cli.bench.cpu import Usage
from dynamo_cli.bench.sample import Sample

CLIENT_LIMIT_CORES = 0.85


class Spread(msgspec.Struct, frozen=True):
    """Milliseconds."""

    mean: float
    p50: float
    p90: float
    p99: float
    max: float


class ProcessUse(msgspec.Struct, frozen=True):
    cpu_s: float
    cores: float
    ms_per_request: float
    s_per_100k_tokens: float
    rss_mb: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`tokens_from` says whether tokens are the server's own count ("usage") or counted chunks ("chunks")."""

    url: str
    model: str
    concurrency: int
    stream: bool
    requests: int
    ok: int
    errors: dict[str, int]
    error_sample: str
    duration_s: float
    requests_per_s: float
    output_tokens_per_s: float
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    tokens_from: str
    ttft_ms: Spread | None
    itl_ms: Spread | None
    tpot_ms: Spread | None
    e2e_ms: Spread | None
    processes: dict[str, ProcessUse]
    client_cpu_s: float
    client_cores: float
    client_limited: bool


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for and what was measured around it."""

    url: str
    model: str
    concurrency: int
    stream: bool
    duration_s: float
    client_cpu_s: float
    processes: Mapping[str, Usage]


def spread(seconds: Sequence[float]) -> Spread | None:
    """None without values. Percentiles are the nearest rank."""
    if not seconds:
        return None
    ordered = sorted(seconds)

    def rank(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3, 3)

    mean = round(sum(ordered) / len(ordered) * 1e3, 3)
    return Spread(mean=mean, p50=rank(0.5), p90=rank(0.9), p99=rank(0.99), max=rank(1.0))


def make_report(run: Run, samples: Sequence[Sample]) -> Report:
    good = [sample for sample in samples if not sample.error]
    bad = [sample for sample in samples if sample.error]
    tokens = sum(sample.completion_tokens for sample in good)
    by_usage = all(sample.counted_by_usage for sample in good)
    cores = run.client_cpu_s / run.duration_s
    return Report(
        url=run.url,
        model=run.model,
        concurrency=run.concurrency,
        stream=run.stream,
        requests=len(samples),
        ok=len(good),
        errors=dict(Counter(sample.error for sample in bad).most_common()),
        error_sample=next((sample.detail for sample in bad if sample.detail), ""),
        duration_s=round(run.duration_s, 3),
        requests_per_s=round(len(good) / run.duration_s, 1),
        output_tokens_per_s=round(tokens / run.duration_s, 1),
        prompt_tokens=sum(sample.prompt_tokens for sample in good),
        cached_tokens=sum(sample.cached_tokens for sample in good),
        completion_tokens=tokens,
        tokens_from="usage" if by_usage else "chunks",
        ttft_ms=spread([sample.ttft_s for sample in good if sample.ttft_s is not None]),
        itl_ms=spread([gap for sample in good for gap in sample.inter_token_s()]),
        tpot_ms=spread([sample.tpot_s for sample in good if sample.tpot_s is not None]),
        e2e_ms=spread([sample.e2e_s for sample in good]),
        processes={n: _process_use(u, run.duration_s, len(good), tokens) for n, u in run.processes.items()},
        client_cpu_s=round(run.client_cpu_s, 3),
        client_cores=round(cores, 2),
        client_limited=cores >= CLIENT_LIMIT_CORES,
    )


def _process_use(use: Usage, duration_s: float, requests: int, tokens: int) -> ProcessUse:
    return ProcessUse(
        cpu_s=round(use.cpu_s, 3),
        cores=round(use.cpu_s / duration_s, 2),
        ms_per_request=round(use.cpu_s / max(1, requests) * 1e3, 4),
        s_per_100k_tokens=round(use.cpu_s / max(1, tokens) * 1e5, 3),
        rss_mb=round(use.rss_bytes / 2**20, 1),
    )


def render(report: Report) -> str:
    """The report for people."""
    lines = [*_totals(report), "", *_latencies(report)]
    if report.processes:
        lines += ["", *_process_table(report)]
    lines += ["", *_remarks(report)]
    return "\n".join(lines)


def _totals(report: Report) -> list[str]:
    ok = max(1, report.ok)
    facts = {
        "server": f"{report.url}  {report.model}",
        "load": f"{report.concurrency} connections, {'streamed' if report.stream else 'not streamed'}",
        "successful requests": f"{report.ok} of {report.requests}",
        "duration": f"{report.duration_s:.2f} s",
        "requests": f"{report.requests_per_s:.1f}/s",
        "output tokens": f"{report.output_tokens_per_s:.1f}/s",
        "tokens per request": f"{report.prompt_tokens / ok:.1f} in ({report.cached_tokens / ok:.1f} cached), "
        f"{report.completion_tokens / ok:.1f} out, counted by {report.tokens_from}",
    }
    return [f"{name:<20}  {value}" for name, value in facts.items()]


def _latencies(report: Report) -> list[str]:
    rows = {"TTFT": report.ttft_ms, "ITL": report.itl_ms, "TPOT": report.tpot_ms, "E2E": report.e2e_ms}
    lines = [f"{'ms':<6}{'mean':>10}{'p50':>10}{'p90':>10}{'p99':>10}{'max':>10}"]
    for name, row in rows.items():
        if row is not None:
            figures = (row.mean, row.p50, row.p90, row.p99, row.max)
            lines.append(f"{name:<6}" + "".join(f"{figure:>10.2f}" for figure in figures))
    return lines


def _process_table(report: Report) -> list[str]:
    width = max(8, *(len(name) for name in report.processes))
    lines = [f"{'process':<{width}}{'CPU s':>9}{'cores':>8}{'ms/req':>9}{'s/100k tok':>12}{'RSS MB':>9}"]
    for name, use in report.processes.items():
        cpu = f"{use.cpu_s:>9.2f}{use.cores:>8.2f}{use.ms_per_request:>9.3f}{use.s_per_100k_tokens:>12.3f}"
        lines.append(f"{name:<{width}}{cpu}{use.rss_mb:>9.1f}")
    return lines


def _remarks(report: Report) -> list[str]:
    lines = [f"this client used {report.client_cpu_s:.2f} CPU s ({report.client_cores:.2f} cores)"]
    if report.client_limited:
        lines.append("the client was the limit: the server can do more than these figures say")
    lines += [f"failed: {count} x {kind}" for kind, count in report.errors.items()]
    if report.error_sample:
        lines.append(f"first error: {report.error_sample}")
    return lines

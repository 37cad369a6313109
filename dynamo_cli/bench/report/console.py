"""A result for people: the block that vLLM's benchmark made familiar, or a table when there are several levels."""

from __future__ import annotations

from dynamo_cli.bench.report.levels import failures, render_levels
from dynamo_cli.bench.report.model import Point, Report, Spread, Summary

WIDTH = 50


def render(summary: Summary) -> str:
    """In 80 columns. The lines of the block keep the names that scripts look for in vLLM's."""
    figures = _block(summary.points[0]) if len(summary.points) == 1 else render_levels(summary)
    return "\n".join([figures, *summary.remarks])


def _block(point: Point) -> str:
    report = point.report
    sections = [
        _title("Serving Benchmark Result", "="),
        *_load(report, point.rate),
        *_throughput(report),
        *_latencies(report),
        *_goodput(report),
        "=" * WIDTH,
        *_worker_table(report),
        *_process_table(report),
        *_remarks(report),
    ]
    return "\n".join(sections)


def _title(text: str, rule: str = "-") -> str:
    return f"{f' {text} ' if rule == '=' else text:{rule}^{WIDTH}}"


def _line(name: str, value: float | str) -> str:
    return f"{name + ':':<40} {f'{value:.2f}' if isinstance(value, float) else value}"


def _load(report: Report, rate: float | None) -> list[str]:
    lines = [
        _line("Successful requests", report.ok),
        _line("Failed requests", sum(report.errors.values())),
    ]
    if report.cancelled:
        lines.append(_line("Cancelled requests", report.cancelled))
    if report.concurrency is not None:
        lines.append(_line("Maximum request concurrency", report.concurrency))
    if rate is not None:
        lines.append(_line("Request rate configured (RPS)", float(rate)))
    return lines


def _throughput(report: Report) -> list[str]:
    lines = [
        _line("Benchmark duration (s)", report.duration_s),
        _line("Total input tokens", report.prompt_tokens),
        _line("Total cached tokens", f"{report.cached_tokens} ({report.cached_share * 100:.1f} %)"),
        _line("Total generated tokens", report.completion_tokens),
        _line("Tokens counted by", report.tokens_from),
    ]
    if report.length_mismatches:
        lines.append(_line("Answers of another length than asked", report.length_mismatches))
    return [
        *lines,
        _line("Request throughput (req/s)", report.requests_per_s),
        *([_line("Request goodput (req/s)", report.goodput.requests_per_s)] if report.goodput else []),
        _line("Output token throughput (tok/s)", report.output_tokens_per_s),
        _line("Peak output token throughput (tok/s)", report.peak_output_tokens_per_s),
        _line("Peak concurrent requests", report.peak_concurrency),
        _line("Total token throughput (tok/s)", report.total_tokens_per_s),
    ]


def _latencies(report: Report) -> list[str]:
    return [
        *_spread("Time to First Token", "TTFT (ms)", report.ttft_ms),
        *_spread("Time per Output Token (excl. 1st token)", "TPOT (ms)", report.tpot_ms),
        *_spread("Inter-token Latency", "ITL (ms)", report.itl_ms),
        *_spread("End-to-end Latency", "E2EL (ms)", report.e2e_ms),
        *_spread("Sent behind Schedule", "lag (ms)", report.lag_ms),
    ]


def _spread(title: str, name: str, spread: Spread | None) -> list[str]:
    if spread is None:
        return []
    figures = {"Mean": spread.mean, "Median": spread.p50, "P90": spread.p90, "P99": spread.p99, "Max": spread.max}
    return [_title(title), *(_line(f"{kind} {name}", float(value)) for kind, value in figures.items())]


def _goodput(report: Report) -> list[str]:
    good = report.goodput
    if good is None:
        return []
    lines = [_title("Service Level Objective"), f"{'SLO:':<5} {good.slo}"]
    lines.append(_line("Requests that meet it (%)", good.share * 100))
    lines += [_line(f"Requests within {name} (%)", share * 100) for name, share in good.by_limit.items()]
    return [*lines, _line("Verdict", "missed" if good.misses else "met"), *(f"missed: {miss}" for miss in good.misses)]


def _worker_table(report: Report) -> list[str]:
    if not report.workers:
        return []
    width = max(8, *(len(name) for name in report.workers))
    rows = [f"{'worker':<{width}}{'requests':>10}{'tokens in':>11}{'cached %':>10}{'tokens out':>12}{'TTFT p50':>10}"]
    for name, share in report.workers.items():
        cached = share.cached_tokens / max(1, share.prompt_tokens) * 100
        ttft = "-" if share.ttft_p50_ms is None else f"{share.ttft_p50_ms:.2f}"
        rows.append(
            f"{name:<{width}}{share.requests:>10}{share.prompt_tokens:>11}{cached:>10.1f}"
            f"{share.completion_tokens:>12}{ttft:>10}"
        )
    return ["", *rows]


def _process_table(report: Report) -> list[str]:
    if not report.processes:
        return []
    width = max(8, *(len(name) for name in report.processes))
    lines = [f"{'process':<{width}}{'CPU s':>9}{'cores':>8}{'ms/req':>9}{'s/100k tok':>12}{'RSS MB':>9}"]
    for name, use in report.processes.items():
        cpu = f"{use.cpu_s:>9.2f}{use.cores:>8.2f}{use.ms_per_request:>9.3f}{use.s_per_100k_tokens:>12.3f}"
        lines.append(f"{name:<{width}}{cpu}{use.rss_mb:>9.1f}")
    return ["", *lines]


def _remarks(report: Report) -> list[str]:
    lines = [f"This client used {report.client_cpu_s:.2f} CPU s ({report.client_cores:.2f} cores)."]
    if report.client_limited:
        lines.append(f"The client was the limit: {report.client_limit}.")
        lines.append("The server can do more than these figures say.")
    return [*lines, *failures([report])]

"""A result for people, as text."""

from __future__ import annotations

from dynamo_cli.bench.report.model import Report, Summary


def render(result: Summary | Report) -> str:
    """The result for people, in 80 columns."""
    reports = [result] if isinstance(result, Report) else [point.report for point in result.points]
    return "\n\n".join(map(_render_report, reports))


def _render_report(report: Report) -> str:
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

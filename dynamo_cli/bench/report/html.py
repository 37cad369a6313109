"""report.html: one page that needs nothing else, no script and no network."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report.by_level import metric_by_level, pareto, throughput_by_level
from dynamo_cli.bench.report.distribution import e2e_of, gaps_of, latency_cdf, level_class, ttft_of
from dynamo_cli.bench.report.levels import HEAD, best_point, by_load, level_row, verdict
from dynamo_cli.bench.report.markup import (
    card,
    chart_card,
    facts,
    grid,
    legend,
    remarks,
    section,
    table,
    tile,
)
from dynamo_cli.bench.report.model import Point, Report, Spread, Summary
from dynamo_cli.bench.report.over_time import requests_over_time, tokens_over_time, ttft_over_time

TEMPLATE = Path(__file__).with_name("page.html")
MOST_DOTS = 1500
PERCENTILES = ("mean", "std", "min", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "p999", "max")

Records = Mapping[str, Sequence[RequestRecord]]


def page(summary: Summary, records_by_label: Records) -> str:
    """The whole page. A point without records has its figures but not its distributions."""
    point = best_point(summary)
    parts = [_header(summary, point)]
    if point is not None:
        parts += [_remarks(summary), _tiles(point)]
        parts += _one_level(point, records_by_label) if len(summary.points) == 1 else _levels(summary, records_by_label)
    parts += [_measured(summary), _footer(summary)]
    title = f"dynamo bench: {point.report.model}" if point else "dynamo bench"
    return Template(TEMPLATE.read_text()).substitute(title=escape(title), body="\n".join(parts))


def _header(summary: Summary, point: Point | None) -> str:
    report = point.report if point else None
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(summary.created))
    about = [report.url if report else "", summary.mode, when]
    words = (
        '<div><p class="kicker">Benchmark</p>'
        f"<h1>{escape(report.model if report else 'no load level was measured')}</h1>"
        f"<p>{escape(' · '.join(filter(None, about)))}</p></div>"
    )
    return f"<header>{words}{_pill(point, len(summary.points) > 1) if point else ''}</header>"


def _pill(point: Point, of_several: bool) -> str:
    good = point.report.goodput
    if good is None:
        return ""
    kind, word = ("bad", "missed") if good.misses else ("good", "met")
    at = f" at {point.label}" if of_several else ""
    return f'<div class="pill {kind}">{escape(f"SLO {word}{at}: {good.slo}")}</div>'


def _remarks(summary: Summary) -> str:
    warnings = []
    for point in summary.points:
        at = f"At {point.label}: " if len(summary.points) > 1 else ""
        if point.report.client_limited:
            limit = point.report.client_limit
            warnings.append(f"{at}the client was the limit, {limit}; the server can do more than these figures say.")
        if len(summary.points) == 1 and point.report.goodput:
            warnings += [f"SLO missed: {miss}." for miss in point.report.goodput.misses]
    plain = verdict(summary)[1:] if len(summary.points) > 1 else []
    return remarks(warnings, [*plain, *summary.remarks])


def _tiles(point: Point) -> str:
    report = point.report
    asked = report.requests - report.cancelled
    tiles = [
        tile(
            "Output tokens",
            _figure(report.output_tokens_per_s),
            "tok/s",
            f"peak {_figure(report.peak_output_tokens_per_s)}",
        ),
        tile("Requests", _figure(report.requests_per_s), "req/s", f"{report.ok} in {report.duration_s:.1f} s"),
        _latency_tile("TTFT median", report.ttft_ms),
        _latency_tile("ITL median", report.itl_ms),
        _latency_tile("E2E median", report.e2e_ms),
        tile("Complete", f"{report.ok / max(1, asked) * 100:.4g}", "%", f"{sum(report.errors.values())} failed"),
    ]
    if report.goodput is not None:
        good = report.goodput
        tiles.append(tile("Goodput", _figure(good.requests_per_s), "req/s", f"{good.share * 100:.4g} % in time"))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _latency_tile(name: str, spread: Spread | None) -> str:
    if spread is None:
        return ""
    return tile(name, _figure(spread.p50), "ms", f"p99 {_figure(spread.p99)} ms")


def _figure(value: float) -> str:
    """Four digits, and thousands apart."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}"


def _one_level(point: Point, records_by_label: Records) -> list[str]:
    records = records_by_label.get(point.label, ())
    return [
        section("Latency", _distributions({point.label: records}), _percentiles(point.report)),
        section("Over time", _over_time(point.report, records, MOST_DOTS)) if records else "",
        _failures([point]),
        section("Who did the work", _shares(point.report)),
    ]


def _distributions(by_label: Records) -> str:
    """Nothing when there are no records."""
    charts = (
        ("Time to first token", latency_cdf("TTFT", by_label, ttft_of)),
        ("Inter-token latency", latency_cdf("ITL", by_label, gaps_of)),
        ("End-to-end latency", latency_cdf("E2E", by_label, e2e_of)),
    )
    names = [label for label, records in by_label.items() if records]
    shades = [(level_class(position, len(names)), label) for position, label in enumerate(names)]
    cards = [chart_card(title, "", chart) for title, chart in charts]
    return (legend(shades) if len(names) > 1 else "") + grid("three", cards)


def _percentiles(report: Report) -> str:
    rows = {
        "TTFT, ms": report.ttft_ms,
        "Second token, ms": report.ttst_ms,
        "TPOT, ms": report.tpot_ms,
        "ITL, ms": report.itl_ms,
        "Between chunks, ms": report.chunk_ms,
        "E2E, ms": report.e2e_ms,
        "Behind schedule, ms": report.lag_ms,
        "tok/s of one user": report.user_tokens_per_s,
    }
    lines = [
        [name, *(_figure(getattr(spread, percentile)) for percentile in PERCENTILES)]
        for name, spread in rows.items()
        if spread is not None
    ]
    head = ["", *(name.replace("p999", "p99.9").replace("p50", "median") for name in PERCENTILES)]
    return card("Percentiles", "", table(head, lines)) if lines else ""


def _over_time(report: Report, records: Sequence[RequestRecord], dots: int) -> str:
    return "".join(
        [
            chart_card("Output tokens per second", "", tokens_over_time(report, records)),
            chart_card("Requests in flight", "", requests_over_time(report, records)),
            chart_card("Time to first token, request by request", "", ttft_over_time(report, records, dots)),
        ]
    )


def _failures(points: Sequence[Point]) -> str:
    rows = [
        [kind, point.label, str(count), point.report.error_details.get(kind, "")]
        for point in points
        for kind, count in point.report.errors.items()
    ]
    inner = table(["error", "level", "requests", "first detail"], rows)
    return section("Failures", f'<div class="card failures">{inner}</div>') if rows else ""


def _shares(report: Report) -> str:
    workers = [
        [
            name,
            f"{share.requests}",
            f"{share.prompt_tokens}",
            f"{share.cached_tokens / max(1, share.prompt_tokens) * 100:.1f} %",
            f"{share.completion_tokens}",
            "-" if share.ttft_p50_ms is None else _figure(share.ttft_p50_ms),
        ]
        for name, share in report.workers.items()
    ]
    processes = [
        [name, f"{use.cpu_s:.2f}", f"{use.cores:.2f}", f"{use.ms_per_request:.3f}", f"{use.rss_mb:.0f}"]
        for name, use in report.processes.items()
    ]
    processes.append(["this client", f"{report.client_cpu_s:.2f}", f"{report.client_cores:.2f}", "", ""])
    head = ["worker", "requests", "tokens in", "cached", "tokens out", "TTFT median, ms"]
    uses = card("Processes", "", table(["process", "CPU s", "cores", "CPU ms per request", "RSS MB"], processes))
    return (card("Workers", "", table(head, workers)) if workers else "") + uses


def _levels(summary: Summary, records_by_label: Records) -> list[str]:
    points = by_load(summary.points)
    by_label = {point.label: records_by_label.get(point.label, ()) for point in points}
    both = legend([("level-0", "median"), ("second", "p99")])
    metrics = {
        "Time to first token": metric_by_level(points, "TTFT", lambda report: report.ttft_ms),
        "Inter-token latency": metric_by_level(points, "ITL", lambda report: report.itl_ms),
        "End-to-end latency": metric_by_level(points, "E2E", lambda report: report.e2e_ms),
    }
    charts = [card(name, "", chart.svg(), both) for name, chart in metrics.items() if chart is not None]
    charts.insert(0, chart_card("Throughput", "", throughput_by_level(points)))
    shown = best_point(summary)
    words = "Up and to the right is better: more tokens per second in all, and more for each user."
    curve = chart_card("Throughput and interactivity", words, pareto(points, shown.label if shown else None))
    rows = [level_row(point) for point in points]
    levels = table(HEAD, rows, marked=shown.label if shown else None)
    dots = max(100, MOST_DOTS * 2 // max(1, len(points)))
    return [
        section("Load levels", f'<div class="card">{levels}</div>', curve, grid("two", charts)),
        section("Latency by level", _distributions(by_label)),
        section("Each level", *(_details(point, by_label[point.label], dots) for point in points)),
        _failures(points),
    ]


def _details(point: Point, records: Sequence[RequestRecord], dots: int) -> str:
    report = point.report
    words = f"{report.requests_per_s:.2f} req/s, {report.output_tokens_per_s:.1f} tok/s"
    inner = _percentiles(report) + (_over_time(report, records, dots) if records else "") + _shares(report)
    return f"<details><summary>{escape(point.label)}<span>{escape(words)}</span></summary>{inner}</details>"


def _measured(summary: Summary) -> str:
    tokens = sorted({point.report.tokens_from for point in summary.points})
    about = {"mode": summary.mode, **summary.args, "tokens counted by": tokens}
    return section(
        "How it was measured",
        grid("two", [card("Load", "", facts(about)), card("Client", "", facts(summary.host))]),
    )


def _footer(summary: Summary) -> str:
    version = escape(str(summary.host.get("dynamo", "")))
    return f"<footer>Made by dynamo bench {version}. docs/bench.md defines every figure.</footer>"

"""report.html: one page that needs nothing else, no script and no network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report.by_level import metric_by_level, pareto, throughput_by_level
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
)
from dynamo_cli.bench.report.model import Point, Summary
from dynamo_cli.bench.report.parts import Records, distributions, failures, over_time, percentiles, shares, tiles

TEMPLATE = Path(__file__).with_name("page.html")
MOST_DOTS = 1500


def page(summary: Summary, records_by_label: Records) -> str:
    """The whole page. A point without records has its figures but not its distributions."""
    point = best_point(summary)
    parts = [_header(summary, point)]
    if point is not None:
        parts += [_remarks(summary), tiles(point)]
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


def _one_level(point: Point, records_by_label: Records) -> list[str]:
    records = records_by_label.get(point.label, ())
    return [
        section("Latency", distributions({point.label: records}), percentiles(point.report)),
        section("Over time", over_time(point.report, records, MOST_DOTS)) if records else "",
        failures([point]),
        section("Who did the work", shares(point.report)),
    ]


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
    head = [f"{name}, ms" if name.startswith(("TTFT", "ITL", "E2E")) else name for name in HEAD]
    levels = table(head, rows, marked=shown.label if shown else None)
    dots = max(100, MOST_DOTS * 2 // max(1, len(points)))
    return [
        section("Load levels", f'<div class="card">{levels}</div>', curve, grid("two", charts)),
        section("Latency by level", distributions(by_label)),
        section("Each level", *(_details(point, by_label[point.label], dots) for point in points)),
        failures(points),
    ]


def _details(point: Point, records: Sequence[RequestRecord], dots: int) -> str:
    report = point.report
    words = f"{report.requests_per_s:.2f} req/s, {report.output_tokens_per_s:.1f} tok/s"
    inner = percentiles(report) + (over_time(report, records, dots) if records else "") + shares(report)
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

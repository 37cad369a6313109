"""Parts of the page: key figures, distributions, percentiles, failures, shares of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report.distribution import e2e_of, gaps_of, latency_cdf, level_class, ttft_of
from dynamo_cli.bench.report.markup import card, chart_card, grid, legend, section, table, tile
from dynamo_cli.bench.report.model import Point, Report, Spread
from dynamo_cli.bench.report.over_time import requests_over_time, tokens_over_time, ttft_over_time

PERCENTILES = ("mean", "std", "min", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "p999", "max")

Records = Mapping[str, Sequence[RequestRecord]]


def tiles(point: Point) -> str:
    report = point.report
    asked, failed = report.requests - report.cancelled, sum(report.errors.values())
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
        tile("Complete", f"{report.ok / max(1, asked) * 100:.4g}", "%", f"{failed} failed", alarming=failed > 0),
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


def distributions(by_label: Records) -> str:
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


def percentiles(report: Report) -> str:
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


def over_time(report: Report, records: Sequence[RequestRecord], dots: int) -> str:
    return "".join(
        [
            chart_card("Output tokens per second", "", tokens_over_time(report, records)),
            chart_card("Requests in flight", "", requests_over_time(report, records)),
            chart_card("Time to first token, request by request", "", ttft_over_time(report, records, dots)),
        ]
    )


def failures(points: Sequence[Point]) -> str:
    rows = [
        [kind, point.label, str(count), point.report.error_details.get(kind, "")]
        for point in points
        for kind, count in point.report.errors.items()
    ]
    inner = table(["error", "level", "requests", "first detail"], rows)
    return section("Failures", f'<div class="card failures">{inner}</div>') if rows else ""


def shares(report: Report) -> str:
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

"""Several load levels of one run: a table, and which of them is the one to know."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from dynamo_cli.bench.report.model import Point, Report, Spread, Summary
from dynamo_cli.bench.search import knee

HEAD = ("level", "req/s", "tok/s", "TTFT p50", "TTFT p99", "ITL p50", "E2E p50", "failed", "SLO")


def by_load(points: Sequence[Point]) -> list[Point]:
    """From the lightest load to the heaviest, where all have a rate or all a cap on concurrency."""
    if all(point.rate is not None for point in points):
        return sorted(points, key=lambda point: point.rate or 0.0)
    if all(point.concurrency is not None for point in points):
        return sorted(points, key=lambda point: point.concurrency or 0)
    return list(points)


def knee_point(points: Sequence[Point]) -> Point | None:
    """The lightest load whose throughput is within 5 % of the highest."""
    ordered = by_load(points)
    return ordered[knee([(at, p.report.output_tokens_per_s) for at, p in enumerate(ordered)])] if ordered else None


def best_point(summary: Summary) -> Point | None:
    """The one a search found, else the most requests within the SLO, else the knee."""
    found = next((point for point in summary.points if point.label == summary.found), None)
    return found or _best_within(summary.points) or knee_point(summary.points)


def render_levels(summary: Summary) -> str:
    first = summary.points[0].report if summary.points else None
    title = [f"{first.url}  {first.model}"] if first else []
    rows = [HEAD, *(level_row(point) for point in by_load(summary.points))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    table = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    return "\n".join([*title, *table, "", *verdict(summary), *_troubles(summary.points)])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]


def level_row(point: Point) -> tuple[str, ...]:
    report = point.report
    return (
        point.label,
        f"{report.requests_per_s:.2f}",
        f"{report.output_tokens_per_s:.1f}",
        _p50(report.ttft_ms),
        "-" if report.ttft_ms is None else f"{report.ttft_ms.p99:.2f}",
        _p50(report.itl_ms),
        _p50(report.e2e_ms),
        str(sum(report.errors.values())),
        _slo_cell(report),
    )


def _p50(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.p50:.2f}"


def _slo_cell(report: Report) -> str:
    if report.goodput is None:
        return "-"
    return f"{'missed' if report.goodput.misses else 'met'} {math.floor(report.goodput.share * 100)}%"


def verdict(summary: Summary) -> list[str]:
    """What the levels together say, in sentences; a search has said its part in `remarks`."""
    slo = next((point.report.goodput.slo for point in summary.points if point.report.goodput), None)
    share = "; SLO has the share of requests that meet it" if slo else ""
    lines = [f"Latencies are milliseconds{share}."]
    found = next((point for point in summary.points if point.label == summary.found), None)
    within = _best_within(summary.points)
    if found is not None:
        return [*lines, f"Found: {_throughputs(found)}" + (f", within {slo}." if slo else ".")]
    if within is not None:
        lines.append(f"Most requests within {slo}: {_throughputs(within)}.")
    elif slo is not None:
        lines.append(f"No level keeps within {slo}.")
    best = knee_point(summary.points)
    if best is not None and len(summary.points) > 1 and not summary.remarks:
        still = best is by_load(summary.points)[-1]
        lines.append(f"Throughput {'still rises' if still else 'stops rising'} at {_throughputs(best)}.")
    return lines


def _best_within(points: Sequence[Point]) -> Point | None:
    meeting = [point for point in points if point.report.goodput and not point.report.goodput.misses]
    return max(meeting, key=lambda point: point.report.requests_per_s, default=None)


def _throughputs(point: Point) -> str:
    report = point.report
    return f"{point.label}, {report.requests_per_s:.2f} req/s, {report.output_tokens_per_s:.1f} tok/s"


def _troubles(points: Sequence[Point]) -> list[str]:
    limited = [point for point in points if point.report.client_limited]
    lines = [f"At {point.label} the client was the limit: {point.report.client_limit}." for point in limited]
    return [*lines, *failures(point.report for point in points)]


def failures(reports: Iterable[Report]) -> list[str]:
    """One line per class of error, and the first of its details."""
    errors: Counter[str] = Counter()
    details: dict[str, str] = {}
    for report in reports:
        errors.update(report.errors)
        details = {**report.error_details, **details}
    lines = []
    for kind, count in errors.most_common():
        lines.append(f"failed: {count} x {kind}")
        if kind in details:
            lines.append(f"  first error: {details[kind]}")
    return lines

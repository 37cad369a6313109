"""summary.csv: one row per load level, the same columns always, for spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec

from dynamo_cli.bench.report.model import Point, Spread, Summary

FACTS = (
    "url model concurrency stream requests ok cancelled duration_s requests_per_s output_tokens_per_s "
    "peak_output_tokens_per_s total_tokens_per_s peak_concurrency prompt_tokens cached_tokens cached_share "
    "completion_tokens length_mismatches tokens_from client_cpu_s client_cores client_limited"
).split()
SPREADS = "ttft_ms ttst_ms tpot_ms itl_ms chunk_ms e2e_ms lag_ms user_tokens_per_s".split()
STATISTICS = msgspec.structs.fields(Spread)
SLO = ("slo", "slo_met", "goodput_requests_per_s", "goodput_share")


def csv_text(summary: Summary) -> str:
    """A cell is empty where nothing was measured."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns())
    table.writerows(_row(point) for point in summary.points)
    return text.getvalue()


def columns() -> list[str]:
    spreads = [f"{name}_{statistic.name}" for name in SPREADS for statistic in STATISTICS]
    return ["label", "rate", *FACTS, "failed", *SLO, *spreads]


def _row(point: Point) -> list[Any]:
    report, good = point.report, point.report.goodput
    goodput = ["", "", "", ""] if good is None else [good.slo, not good.misses, good.requests_per_s, good.share]
    spreads = [
        "" if spread is None else getattr(spread, statistic.name)
        for spread in (getattr(report, name) for name in SPREADS)
        for statistic in STATISTICS
    ]
    facts = [getattr(report, name) for name in FACTS]
    return [point.label, point.rate, *facts, sum(report.errors.values()), *goodput, *spreads]

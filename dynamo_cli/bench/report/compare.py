"""Two results against each other: each figure, its difference, and whether that is more than chance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from random import Random

import msgspec

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report.batches import interval
from dynamo_cli.bench.report.files import Results
from dynamo_cli.bench.report.metrics import METRICS, Draws, Metric, Side
from dynamo_cli.bench.report.model import Point, Summary

SEED = 0
BETTER, WORSE, UNCLEAR, UNKNOWN = "better", "worse", "no clear difference", "no interval"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """`low` to `high`: the 95 % interval of the difference b - a; None where requests do not give one.

    `ratio` is b / a, None when a is 0. `verdict` is about b.
    """

    metric: str
    a: float
    b: float
    difference: float
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str


class PointComparison(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    rows: list[Row]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`warnings`: why the two may not be comparable, and what was left out."""

    a: str
    b: str
    warnings: list[str]
    points: list[PointComparison]


def compare(a: Results, b: Results) -> Comparison:
    """Raises UsageError for a line of requests.jsonl that is no request."""
    pairs, unpaired = _pairs(a.summary, b.summary)
    records_a, records_b = _by_label(a.records()), _by_label(b.records())
    warnings = [*_differences(a.summary, b.summary), *unpaired]
    alone = [result.path for result in (a, b) if result.requests is None]
    warnings += [f"{path} has no requests.jsonl beside it: no intervals of latency or throughput" for path in alone]
    points = []
    for first, second in pairs:
        rng = Random(SEED)
        sides = Side(first, records_a.get(first.label, []), rng), Side(second, records_b.get(second.label, []), rng)
        label = first.label if first.label == second.label else f"{first.label} / {second.label}"
        rows = [row for metric in METRICS if (row := _row(metric, *sides)) is not None]
        points.append(PointComparison(label=label, rows=rows))
    return Comparison(a=str(a.path), b=str(b.path), warnings=warnings, points=points)


def _by_label(records: Iterable[RequestRecord]) -> dict[str, list[RequestRecord]]:
    by_label: dict[str, list[RequestRecord]] = defaultdict(list)
    for record in records:
        by_label[record.point].append(record)
    return by_label


def _pairs(a: Summary, b: Summary) -> tuple[list[tuple[Point, Point]], list[str]]:
    """Points of the same label; the only one of each, whatever their labels. Then what has no partner, in words."""
    if len(a.points) == len(b.points) == 1:
        return [(a.points[0], b.points[0])], []
    others = {point.label: point for point in b.points}
    pairs = [(point, others[point.label]) for point in a.points if point.label in others]
    paired = {first.label for first, _ in pairs}
    lone = [point.label for point in (*a.points, *b.points) if point.label not in paired]
    return pairs, [f"only in one of them: {', '.join(lone)}"] if lone else []


def _differences(a: Summary, b: Summary) -> list[str]:
    """What else than the measured system differs between the two, one line each."""
    lines = [f"mode: {a.mode}, {b.mode}"] if a.mode != b.mode else []
    for what, first, second in (("args", a.args, b.args), ("host", a.host, b.host)):
        names = sorted({*first, *second} - {"output", "json"})
        differing = (name for name in names if first.get(name) != second.get(name))
        lines += [f"{what}.{name}: {first.get(name)}, {second.get(name)}" for name in differing]
    models = [", ".join(sorted({point.report.model for point in one.points})) for one in (a, b)]
    if models[0] != models[1]:
        lines.append(f"model: {models[0]}, {models[1]}")
    return [f"they differ in {line}" for line in lines]


def _row(metric: Metric, a: Side, b: Side) -> Row | None:
    """None when either side has no such figure."""
    first, second = metric.figure(a.point.report), metric.figure(b.point.report)
    if first is None or second is None:
        return None
    draws: list[Draws | None] = [metric.draws(side) for side in (a, b)]
    low, high = (None, None) if draws[0] is None or draws[1] is None else interval(draws[0], draws[1])
    return Row(
        metric=metric.name,
        a=first,
        b=second,
        difference=round(second - first, 4),
        ratio=round(second / first, 4) if first else None,
        low=None if low is None else round(low, 4),
        high=None if high is None else round(high, 4),
        verdict=_verdict(low, high, metric.higher_is_better),
    )


def _verdict(low: float | None, high: float | None, higher_is_better: bool) -> str:
    if low is None or high is None:
        return UNKNOWN
    if low <= 0 <= high:
        return UNCLEAR
    return BETTER if (low > 0) == higher_is_better else WORSE

"""The figures that two results are compared by, and how each varies by chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from operator import attrgetter
from random import Random
from typing import NamedTuple

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report.bootstrap import clustered_percentiles, means, percentiles, shares
from dynamo_cli.bench.report.model import Point, Report
from dynamo_cli.bench.report.spread import PERCENTILES
from dynamo_cli.bench.report.timeline import token_counts

MOST_GAPS = 100_000
FEWEST_VALUES = 10
FEWEST_BLOCKS, MOST_BLOCKS = 8, 30

Draws = Sequence[float]


class Side:
    """One level of one result: its figures and, where there are any, its requests."""

    def __init__(self, point: Point, records: Sequence[RequestRecord], rng: Random) -> None:
        self.point = point
        self.good = [record for record in records if record.ok]
        self.rng = rng

    @cached_property
    def sorted_by_metric(self) -> dict[str, list[float]]:
        values = {name: [getattr(record, name) for record in self.good] for name in ("ttft_ms", "tpot_ms", "e2e_ms")}
        return {name: sorted(value for value in column if value is not None) for name, column in values.items()}

    @cached_property
    def gaps(self) -> list[list[float]]:
        """The gaps between tokens, a list per request; every n-th where there are very many."""
        count = sum(len(record.itl_ms) for record in self.good)
        stride = max(1, -(-count // MOST_GAPS))
        kept = (record.itl_ms[number % stride :: stride] for number, record in enumerate(self.good))
        return [gaps for gaps in kept if gaps]

    @cached_property
    def blocks(self) -> int:
        """Into how many equal parts of time the run is cut: each at least two answers long, else 0 for none."""
        e2e = self.point.report.e2e_ms
        if e2e is None or not self.good:
            return 0
        count = min(MOST_BLOCKS, int(self.point.report.duration_s * 1e3 / (2 * e2e.p50)))
        return count if count >= FEWEST_BLOCKS else 0


class Metric(NamedTuple):
    """`figure`: from the report, None when it was not measured. `draws`: None when nothing can be said."""

    name: str
    figure: Callable[[Report], float | None]
    draws: Callable[[Side], Draws | None]
    higher_is_better: bool = False


def _spread(field: str, statistic: str) -> Callable[[Report], float | None]:
    def figure(report: Report) -> float | None:
        spread = getattr(report, field)
        return None if spread is None else float(getattr(spread, statistic))

    return figure


def _per_request(name: str, field: str, statistic: str) -> Metric:
    def draws(side: Side) -> Draws | None:
        ordered = side.sorted_by_metric[field]
        if len(ordered) < FEWEST_VALUES:
            return None
        if statistic == "mean":
            return means(side.rng, ordered)
        return percentiles(side.rng, ordered, PERCENTILES[statistic])

    return Metric(name, _spread(field, statistic), draws)


def _gaps(name: str, statistic: str) -> Metric:
    def draws(side: Side) -> Draws | None:
        if len(side.gaps) < FEWEST_VALUES:
            return None
        return clustered_percentiles(side.rng, side.gaps, PERCENTILES[statistic])

    return Metric(name, _spread("itl_ms", statistic), draws)


def _token_rate(side: Side) -> Draws | None:
    duration_ms = side.point.report.duration_s * 1e3
    if not side.blocks:
        return None
    block_ms = duration_ms / side.blocks
    return means(side.rng, [count / block_ms * 1e3 for count in token_counts(side.good, block_ms, duration_ms)])


def _request_rate(side: Side) -> Draws | None:
    if not side.blocks:
        return None
    block_ms = side.point.report.duration_s * 1e3 / side.blocks
    counts = [0] * side.blocks
    for record in side.good:
        counts[min(side.blocks - 1, int(record.end_ms / block_ms))] += 1
    return means(side.rng, [count / block_ms * 1e3 for count in counts])


def _asked(report: Report) -> int:
    return report.requests - report.cancelled


def _failed_percent(report: Report) -> float | None:
    return round(sum(report.errors.values()) / _asked(report) * 100, 3) if _asked(report) else None


def _failed_draws(side: Side) -> Draws | None:
    report = side.point.report
    return [share * 100 for share in shares(side.rng, sum(report.errors.values()), _asked(report))]


def _goodput_draws(side: Side) -> Draws | None:
    report = side.point.report
    assert report.goodput is not None
    return [share * 100 for share in shares(side.rng, report.goodput.requests, _asked(report))]


METRICS = (
    Metric("output tok/s", attrgetter("output_tokens_per_s"), _token_rate, higher_is_better=True),
    Metric("requests/s", attrgetter("requests_per_s"), _request_rate, higher_is_better=True),
    Metric(
        "within SLO, %",
        lambda report: None if report.goodput is None else round(report.goodput.share * 100, 3),
        _goodput_draws,
        higher_is_better=True,
    ),
    Metric("failed, %", _failed_percent, _failed_draws),
    *(_per_request(f"TTFT {name}, ms", "ttft_ms", name) for name in ("mean", "p50", "p90", "p99")),
    *(_per_request(f"TPOT {name}, ms", "tpot_ms", name) for name in ("mean", "p50", "p99")),
    *(_gaps(f"ITL {name}, ms", name) for name in ("p50", "p99")),
    *(_per_request(f"E2E {name}, ms", "e2e_ms", name) for name in ("mean", "p50", "p90", "p99")),
)

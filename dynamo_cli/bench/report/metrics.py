"""The figures that two results are compared by, and how each varies by chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from operator import attrgetter
from random import Random
from typing import NamedTuple

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report.batches import mean_draws, percentile_draws, share_draws
from dynamo_cli.bench.report.model import Point, Report
from dynamo_cli.bench.report.spread import PERCENTILES
from dynamo_cli.bench.report.timeline import token_counts

MOST_GAPS = 100_000
FEWEST_BATCHES, MOST_BLOCKS = 8, 30
FEWEST_BEYOND = 5
"""So many values must lie beyond a percentile to say how far it could be off."""

Draws = Sequence[float]


class Side:
    """One level of one result: its figures and, where there are any, its requests."""

    def __init__(self, point: Point, records: Sequence[RequestRecord], rng: Random) -> None:
        self.point = point
        self.good = sorted((record for record in records if record.ok), key=lambda record: record.sent_ms)
        self.rng = rng

    def batches(self, values: Sequence[Sequence[float]]) -> list[list[float]]:
        """The values of each request, in batches of as many requests as were in flight at most; none of too few."""
        size = max(1, self.point.report.peak_concurrency)
        count = len(values) // size
        if count < FEWEST_BATCHES:
            return []
        batches = (values[at * size : (at + 1) * size] for at in range(count))
        return [[value for request in batch for value in request] for batch in batches]

    def one_each(self, field: str) -> list[list[float]]:
        """Batches of a time that every request has, or none has."""
        times = (getattr(record, field) for record in self.good)
        return self.batches([(time,) for time in times if time is not None])

    @cached_property
    def gaps(self) -> list[list[float]]:
        """Batches of the gaps between tokens; every n-th gap where there are very many."""
        count = sum(len(record.itl_ms) for record in self.good)
        stride = max(1, -(-count // MOST_GAPS))
        return self.batches([record.itl_ms[at % stride :: stride] for at, record in enumerate(self.good)])

    @cached_property
    def blocks(self) -> int:
        """Into how many equal parts of time the run is cut: each at least two answers long, else 0 for none."""
        e2e = self.point.report.e2e_ms
        if e2e is None or not self.good:
            return 0
        count = min(MOST_BLOCKS, int(self.point.report.duration_s * 1e3 / (2 * max(e2e.p50, 1e-3))))
        return count if count >= FEWEST_BATCHES else 0


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


def _of_requests(name: str, field: str, statistic: str) -> Metric:
    return Metric(name, _spread(field, statistic), lambda side: _draws(side.rng, side.one_each(field), statistic))


def _of_gaps(name: str, statistic: str) -> Metric:
    return Metric(name, _spread("itl_ms", statistic), lambda side: _draws(side.rng, side.gaps, statistic))


def _draws(rng: Random, batches: Sequence[Sequence[float]], statistic: str) -> Draws | None:
    if not batches:
        return None
    if statistic == "mean":
        return mean_draws(rng, [sum(batch) / len(batch) for batch in batches])
    percent = PERCENTILES[statistic]
    beyond = sum(map(len, batches)) * min(percent, 100 - percent) / 100
    return percentile_draws(rng, batches, percent) if beyond >= FEWEST_BEYOND else None


def _token_rate(side: Side) -> Draws | None:
    duration_ms = side.point.report.duration_s * 1e3
    if not side.blocks:
        return None
    block_ms = duration_ms / side.blocks
    return mean_draws(side.rng, [count / block_ms * 1e3 for count in token_counts(side.good, block_ms, duration_ms)])


def _request_rate(side: Side) -> Draws | None:
    if not side.blocks:
        return None
    block_ms = side.point.report.duration_s * 1e3 / side.blocks
    counts = [0] * side.blocks
    for record in side.good:
        counts[min(side.blocks - 1, int(record.end_ms / block_ms))] += 1
    return mean_draws(side.rng, [count / block_ms * 1e3 for count in counts])


def _asked(report: Report) -> int:
    return report.requests - report.cancelled


def _failed_percent(report: Report) -> float | None:
    return round(sum(report.errors.values()) / _asked(report) * 100, 3) if _asked(report) else None


def _failed_draws(side: Side) -> Draws | None:
    report = side.point.report
    return [share * 100 for share in share_draws(side.rng, sum(report.errors.values()), _asked(report))]


def _goodput_draws(side: Side) -> Draws | None:
    report = side.point.report
    assert report.goodput is not None
    return [share * 100 for share in share_draws(side.rng, report.goodput.requests, _asked(report))]


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
    *(_of_requests(f"TTFT {name}, ms", "ttft_ms", name) for name in ("mean", "p50", "p90", "p99")),
    *(_of_requests(f"TPOT {name}, ms", "tpot_ms", name) for name in ("mean", "p50", "p99")),
    *(_of_gaps(f"ITL {name}, ms", name) for name in ("p50", "p99")),
    *(_of_requests(f"E2E {name}, ms", "e2e_ms", name) for name in ("mean", "p50", "p90", "p99")),
)

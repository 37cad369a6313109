"""Charts of how latencies are distributed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report.spread import percentile
from dynamo_cli.bench.report.svg import NARROW, Axis, Chart, Tick, fitted, number

MOST_VALUES = 200_000
SHARES = tuple(Tick(value / 100, f"{value} %") for value in (0, 25, 50, 75, 100))

Values = Callable[[RequestRecord], Sequence[float]]


def ttft_of(record: RequestRecord) -> Sequence[float]:
    return () if record.ttft_ms is None else (record.ttft_ms,)


def gaps_of(record: RequestRecord) -> Sequence[float]:
    return record.itl_ms


def e2e_of(record: RequestRecord) -> Sequence[float]:
    return (record.e2e_ms,)


def thinned(items: Sequence[RequestRecord], most: int) -> Sequence[RequestRecord]:
    """Every n-th, so that at most `most` are left."""
    return items[:: max(1, math.ceil(len(items) / most))]


def latency_cdf(name: str, by_label: Mapping[str, Sequence[RequestRecord]], values_of: Values) -> Chart | None:
    """The share of values at or below each time, a line per level. None when nothing was measured."""
    ordered = {label: sorted(_values(records, values_of)) for label, records in by_label.items()}
    ordered = {label: values for label, values in ordered.items() if values}
    if not ordered:
        return None
    ends = [end for values in ordered.values() for end in (percentile(values, 0.5), percentile(values, 99.9))]
    chart = Chart(
        f"Distribution of {name}", fitted(f"{name}, ms", ends), Axis("share", 0, 1, ticks=SHARES), NARROW, 240
    )
    for position, (label, values) in enumerate(ordered.items()):
        kind = level_class(position, len(ordered))
        steps = [(percentile(values, share), share / 100) for share in _shares()]
        if len(ordered) == 1:
            chart.area(steps, kind)
        chart.line(steps, kind, label)
    if len(ordered) == 1:
        _name_percentiles(chart, name, next(iter(ordered.values())))
    return chart


def _name_percentiles(chart: Chart, name: str, values: Sequence[float]) -> None:
    for percent in (50, 90, 99):
        value = percentile(values, percent)
        chart.dot(value, percent / 100, "level-0", f"{percent} % of {name} within {value:.2f} ms")
        words = f"p{percent} {number(value)}"
        if chart.x.share(value) > (0.6 if percent == 50 else 0.3):  # a distribution leaves room above its left side
            chart.text(value, percent / 100, words, dx=-7, dy=-5, anchor="end")
        else:
            chart.text(value, percent / 100, words, dx=8, dy=14)


def _shares() -> list[float]:
    return [*range(0, 90, 2), *(90 + step / 4 for step in range(40)), 99.9]


def _values(records: Sequence[RequestRecord], values_of: Values) -> list[float]:
    good = [record for record in records if record.ok]
    per_record = max(1.0, sum(len(values_of(record)) for record in good[:100]) / max(1, min(100, len(good))))
    return [value for record in thinned(good, max(1, int(MOST_VALUES / per_record))) for value in values_of(record)]


def level_class(position: int, count: int) -> str:
    """Of 8 shades, from the lightest load to the heaviest; one level alone has the strongest."""
    return f"level-{0 if count == 1 else 7 - round(position * 7 / (count - 1))}"

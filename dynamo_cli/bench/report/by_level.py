"""Charts of several load levels against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dynamo_cli.bench.report.model import Point, Report, Spread
from dynamo_cli.bench.report.svg import WIDE, Axis, Chart, Tick, fitted, number
from dynamo_cli.bench.slo import parse_slo


def level_axis(points: Sequence[Point]) -> tuple[Axis, list[float]]:
    """The load: requests per second if all levels have a rate, requests at once if all have a cap, else their order."""
    rates = [point.rate for point in points if point.rate is not None]
    lanes = [float(point.concurrency) for point in points if point.concurrency is not None]
    if len(rates) == len(points):
        return _load_axis("requests per second offered", rates), rates
    if len(lanes) == len(points):
        return _load_axis("requests at once", lanes), lanes
    order = [float(position) for position in range(len(points))]
    ticks = tuple(Tick(at, point.label) for at, point in zip(order, points, strict=True))
    return Axis("level", -0.3, len(points) - 0.7, ticks=ticks), order


def _load_axis(label: str, values: Sequence[float]) -> Axis:
    """Ticks at the levels themselves; logarithmic when they are far apart, as 1, 2, 4, 8 are."""
    low, high = min(values), max(values)
    distinct = sorted(set(values))
    ticks = tuple(Tick(value, number(value)) for value in distinct) if len(distinct) <= 10 else ()
    if low > 0 and high / low >= 8:
        return Axis(label, low / 1.15, high * 1.15, log=True, ticks=ticks)
    margin = (high - low) * 0.06 or high * 0.1 or 1.0
    return Axis(label, max(0.0, low - margin), high + margin, ticks=ticks)


def metric_by_level(points: Sequence[Point], name: str, spread_of: Callable[[Report], Spread | None]) -> Chart | None:
    """Median and p99 of a metric against the load, with its limit when the SLO has one."""
    axis, places = level_axis(points)
    found = [(at, point, spread_of(point.report)) for at, point in zip(places, points, strict=True)]
    rows = [(at, point, spread) for at, point, spread in found if spread is not None]
    if not rows:
        return None
    values = [value for _, _, spread in rows for value in (spread.p50, spread.p99)]
    chart = Chart(f"{name} against the load", axis, _from_zero_unless_log(f"{name}, ms", values))
    for percent, kind in (("p99", "second"), ("p50", "level-0")):
        chart.line([(at, getattr(spread, percent)) for at, _, spread in rows], kind)
        for at, point, spread in rows:
            value = getattr(spread, percent)
            chart.dot(at, value, kind, f"{point.label}: {percent} {name} {value:.2f} ms")
    limit = _limit(points, name.lower())
    if limit is not None and chart.y.low <= limit <= chart.y.high:
        chart.across(limit, f"limit {number(limit)} ms")
    return chart


def _from_zero_unless_log(label: str, values: Sequence[float]) -> Axis:
    axis = fitted(label, values)
    return axis if axis.log else fitted(label, values, from_zero=True)


def _limit(points: Sequence[Point], metric: str) -> float | None:
    text = next((point.report.goodput.slo for point in points if point.report.goodput), None)
    limits = [] if text is None else [limit.ms for limit in parse_slo(text).limits if limit.metric == metric]
    return min(limits, default=None)


def pareto(points: Sequence[Point], found: str | None) -> Chart | None:
    """Throughput against interactivity: up and to the right is better; the levels in their order are one curve."""
    rows = [(point, point.report.user_tokens_per_s) for point in points]
    places = [(spread.p50, point) for point, spread in rows if spread is not None]
    if not places:
        return None
    across = fitted("interactivity: tok/s of one user, median", [x for x, _ in places])
    up = fitted("throughput: output tok/s", [point.report.output_tokens_per_s for _, point in places], from_zero=True)
    chart = Chart("Throughput against interactivity", across, up, WIDE, 340)
    chart.line([(x, point.report.output_tokens_per_s) for x, point in places], "level-0")
    for x, point in places:
        y = point.report.output_tokens_per_s
        kind = "found" if point.label == found else "level-0"
        chart.dot(x, y, kind, f"{point.label}: {y:.1f} tok/s at {x:.1f} tok/s per user", 6 if kind == "found" else 4)
    _name_places(chart, [(x, point.report.output_tokens_per_s, point.label) for x, point in places])
    return chart


def _name_places(chart: Chart, places: Sequence[tuple[float, float, str]]) -> None:
    """A label beside each place, but none over another's: the dot still tells its own."""
    named: list[tuple[float, float]] = []
    for x, y, label in places:
        left, top = chart.at(x, y)
        if any(abs(left - other) < 48 and abs(top - above) < 14 for other, above in named):
            continue
        named.append((left, top))
        beyond = chart.x.share(x) > 0.8
        chart.text(x, y, label, dx=-9 if beyond else 9, dy=-6, anchor="end" if beyond else "start")


def throughput_by_level(points: Sequence[Point]) -> Chart:
    """Output tokens/s against the load."""
    axis, places = level_axis(points)
    rates = [point.report.output_tokens_per_s for point in points]
    chart = Chart("Throughput against the load", axis, fitted("output tok/s", rates, from_zero=True))
    chart.line(zip(places, rates, strict=True), "level-0")
    for at, point, rate in zip(places, points, rates, strict=True):
        chart.dot(at, rate, "level-0", f"{point.label}: {rate:.1f} tok/s")
    return chart

"""Charts of one load level over time."""

from __future__ import annotations

from collections.abc import Sequence

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report.distribution import thinned
from dynamo_cli.bench.report.model import Report
from dynamo_cli.bench.report.svg import WIDE, Axis, Chart, fitted
from dynamo_cli.bench.report.timeline import in_flight, token_counts

MOST_STEPS = 160
MOST_DOTS = 1200


def tokens_over_time(report: Report, records: Sequence[RequestRecord]) -> Chart:
    window_s = _window_s(report.duration_s)
    counts = token_counts(records, window_s * 1e3, report.duration_s * 1e3)
    rates = [count / window_s for count in counts]
    chart = Chart(
        "Output tokens per second over time", _time_axis(report), fitted("tok/s", rates, from_zero=True), WIDE, 220
    )
    steps = [(end, rate) for at, rate in enumerate(rates) for end in (at * window_s, (at + 1) * window_s)]
    chart.area(steps, "level-0")
    chart.line(steps, "level-0")
    for at, rate in enumerate(rates):
        chart.band(at * window_s, (at + 1) * window_s, f"{at * window_s:.3g} s: {rate:.0f} tok/s")
    return chart


def requests_over_time(report: Report, records: Sequence[RequestRecord]) -> Chart:
    steps = peaks(in_flight(records), report.duration_s)
    heights = [float(level) for _, level in steps]
    axis = fitted("requests", heights, from_zero=True, whole=True)
    chart = Chart("Requests in flight over time", _time_axis(report), axis, WIDE, 220)
    width = report.duration_s / MOST_STEPS
    line = [(end, level) for time, level in steps for end in (time, time + width)]
    chart.area(line, "second")
    chart.line(line, "second")
    for time, level in steps:
        chart.band(time, time + width, f"{time:.3g} s: {level} in flight")
    return chart


def peaks(changes: Sequence[tuple[float, int]], duration_s: float) -> list[tuple[float, int]]:
    """The most requests in flight in each of MOST_STEPS windows, by the second it begins."""
    width_ms = duration_s * 1e3 / MOST_STEPS
    peaks = [-1] * MOST_STEPS
    carried = [0] * MOST_STEPS
    for time, level in changes:
        window = min(MOST_STEPS - 1, int(time / width_ms))
        peaks[window] = max(peaks[window], level)
        carried[window] = level
    level = 0
    steps = []
    for window, peak in enumerate(peaks):
        steps.append((window * width_ms / 1e3, max(level, peak)))
        level = carried[window] if peak >= 0 else level
    return steps


def ttft_over_time(report: Report, records: Sequence[RequestRecord], dots: int = MOST_DOTS) -> Chart | None:
    """A dot per request where it was sent; failed requests on the floor. None without any TTFT or failure."""
    shown = [record for record in thinned(records, dots) if not record.cancelled]
    times = [record.ttft_ms for record in shown if record.ok and record.ttft_ms is not None]
    if not times:
        return None
    axis = fitted("TTFT, ms", times, from_zero=max(times) < 10 * min(times))
    chart = Chart("Time to first token of each request, by when it was sent", _time_axis(report), axis, WIDE, 220)
    for record in shown:
        at = f"request {record.id}, sent at {record.sent_ms / 1e3:.2f} s"
        if record.error:
            chart.dot(record.sent_ms / 1e3, axis.low, "failed", f"{at}: {record.error}", 3)
        elif record.ttft_ms is not None:
            chart.dot(record.sent_ms / 1e3, record.ttft_ms, "request", f"{at}: {record.ttft_ms:.2f} ms", 2.5)
    return chart


def _time_axis(report: Report) -> Axis:
    return Axis("seconds since the run began", 0.0, max(report.duration_s, 1e-3))


def _window_s(duration_s: float) -> float:
    """The length of a window: about half a second, for at least 20 and at most 90 equal windows."""
    return duration_s / min(90, max(20, round(duration_s * 2)))

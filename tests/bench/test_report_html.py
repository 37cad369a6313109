"""report.html: one file, well formed, that shows what was measured and nothing it should not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report import Point
from dynamo_cli.bench.report.html import page
from dynamo_cli.bench.report.over_time import peaks
from dynamo_cli.bench.report.svg import Axis, Chart, fitted, linear_ticks, log_ticks, number
from dynamo_cli.bench.report.timeline import in_flight, peak_concurrency
from dynamo_cli.bench.slo import parse_slo
from tests.bench.records import made, record, report, summary


class Reader(HTMLParser):
    """Text and attributes; fails on a tag that is not closed by its own end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def one(records: Sequence[RequestRecord], **changes: object) -> Reader:
    point = Point(label="rate=50", report=report(list(records), parse_slo("ttft=20ms"), duration_s=2.0), rate=50.0)
    return Reader(page(summary([point], **changes), {"rate=50": records}))


def sweep(count: int) -> Reader:
    by_label = {f"c={cap}": made(cap, 50, itl_ms=5 + cap) for cap in range(1, count + 1)}
    slo = parse_slo("ttft=20ms,itl=8ms")
    points = [
        Point(label=label, report=report(records, slo, concurrency=cap), concurrency=cap)
        for cap, (label, records) in enumerate(by_label.items(), 1)
    ]
    return Reader(page(summary(points), by_label))


def test_one_level_has_its_figures_and_charts() -> None:
    text = " ".join(one(made(1, 80, failing=0.1)).text)
    for words in ("Time to first token", "Inter-token latency", "Requests in flight", "http 529", "decode-1", "median"):
        assert words in text
    assert "SLO missed: ttft=20ms" in text


def test_several_levels_are_compared() -> None:
    reader = sweep(5)
    text = " ".join(reader.text)
    for words in (
        "Throughput and interactivity",
        "limit 8 ms",
        "c=5",
        "Latency by level",
        "SLO met at c=",
    ):
        assert words in text
    assert reader.tags.count("details") == 5


def test_it_needs_nothing_else() -> None:
    reader = one(made(1, 20))
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name in ("src", "href", "srcset") or name.startswith("on")]


NASTY = "<script>alert('1')</script>\"&$body"


def test_everything_is_escaped() -> None:
    records = [record(n, worker=NASTY) for n in range(3)] + [record(9, error=NASTY, detail=NASTY)]
    figures = report(records, model=NASTY, url=NASTY, duration_s=1.0)
    told = summary(
        [Point(label=NASTY, report=figures), Point(label="other", report=figures)],
        mode=NASTY,
        args={NASTY: [NASTY]},
        host={NASTY: {NASTY: NASTY}},
        remarks=[NASTY],
    )
    for points in (told.points, told.points[:1]):
        text = page(summary(points, mode=told.mode, args=told.args, host=told.host), {NASTY: records, "other": records})
        assert "script" not in Reader(text).tags
        assert NASTY not in text
        assert text.count("<body>") == 1


@pytest.mark.parametrize(
    "records",
    [
        [],
        [record()],
        [record(error="timeout", ttft_ms=None, tpot_ms=None, itl_ms=[], chunk_ms=[], e2e_ms=0.0)],
        [record(cancelled=True)],
        [record(n, ttft_ms=None, tpot_ms=None, itl_ms=[], chunk_ms=[]) for n in range(3)],
        [record(n, ttft_ms=0.0, e2e_ms=0.0, itl_ms=[0.0] * 3) for n in range(3)],
    ],
    ids=["none", "one", "failed", "cancelled", "whole", "instant"],
)
def test_little_to_show_is_shown(records: list[RequestRecord]) -> None:
    assert "nan" not in " ".join(value or "" for _, value in one(records).attributes)


def test_no_level_at_all_is_a_page() -> None:
    assert "no load level was measured" in " ".join(Reader(page(summary([]), {})).text)


def test_figures_are_shown_without_records() -> None:
    point = Point(label="c=1", report=report(made(1, 20)))
    assert "Percentiles" in " ".join(Reader(page(summary([point]), {})).text)


def test_many_requests_make_a_small_page() -> None:
    rows = made(1, 500, tokens=8, gap_ms=2)
    many = [record for _ in range(200) for record in rows]
    figures = report(many, duration_s=3.0)
    text = page(summary([Point(label="c=1", report=figures)]), {"c=1": many})
    assert len(text) < 500_000
    by_label = {f"c={n}": rows * 4 for n in range(20)}
    points = [Point(label=label, report=report(records), concurrency=1) for label, records in by_label.items()]
    assert len(page(summary(points), by_label)) < 2_000_000


@given(st.floats(1e-3, 1e6), st.floats(1.01, 1e5))
def test_ticks_lie_on_the_axis_and_are_few(low: float, factor: float) -> None:
    high = low * factor
    ticks = linear_ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert all(low * (1 - 1e-6) <= tick <= high * (1 + 1e-6) for tick in ticks)
    if factor > 10:
        ticks = log_ticks(low, high)
        assert 1 <= len(ticks) <= 8
        assert ticks == sorted(ticks)


@given(st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=20), st.booleans())
def test_values_lie_on_the_axis_made_for_them(values: list[float], from_zero: bool) -> None:
    axis = fitted("x", values, from_zero=from_zero)
    assert axis.low < axis.high
    assert axis.low <= min(values) and max(values) <= axis.high * (1 + 1e-9)
    shares = [axis.share(value) for value in sorted(values)]
    assert shares == sorted(shares) and all(0 <= share <= 1 for share in shares)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.25, "0.25"), (12, "12"), (1500, "1500"), (15000, "15k"), (2.5e6, "2.5M")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_the_steps_in_flight_have_every_peak() -> None:
    records = made(4, 300, gap_ms=13)
    changes = in_flight(records)
    end_s = changes[-1][0] / 1e3
    steps = peaks(changes, end_s)
    width_ms = end_s * 1e3 / len(steps)
    assert max(level for _, level in steps) == peak_concurrency(records)
    for start_s, level in steps[:-1]:
        start = start_s * 1e3
        inside = [r for r in records if r.sent_ms < start + width_ms - 1e-6 and r.end_ms > start + 1e-6]
        assert 0 < level <= len(inside)


def test_a_chart_says_what_it_is() -> None:
    chart = Chart("Latency <of> all", Axis("ms", 0, 1), Axis("share", 0, 1))
    chart.dot(0.5, 0.5, "level-0", "a & b")
    assert 'aria-label="Latency &lt;of&gt; all"' in chart.svg()
    assert re.search(r"<circle [^>]*><title>a &amp; b</title></circle>", chart.svg())

"""The figures of a report against values known from elsewhere."""

from __future__ import annotations

import statistics
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.bench.cpu import Usage
from dynamo_cli.bench.report.spread import PERCENTILES, percentile, spread
from dynamo_cli.bench.report.timeline import in_flight, peak_concurrency, token_counts, token_times
from tests.bench.records import made, record, report

numbers = st.lists(st.floats(min_value=0, max_value=1e6, allow_subnormal=False), min_size=2, max_size=60)


@given(numbers)
def test_percentiles_are_those_of_the_standard_library(values: list[float]) -> None:
    ordered = sorted(values)
    hundredths = statistics.quantiles(values, n=100, method="inclusive")
    for percent in (1, 5, 10, 25, 50, 75, 90, 95, 99):
        assert percentile(ordered, percent) == pytest.approx(hundredths[percent - 1], rel=1e-9, abs=1e-9)


def test_a_percentile_lies_between_its_neighbours() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.5
    assert percentile([0.0, 10.0], 99.9) == pytest.approx(9.99)
    assert percentile([7.0], 99) == 7.0


@given(numbers)
def test_a_spread_is_ordered_and_has_the_moments_of_its_values(values: list[float]) -> None:
    figures = spread(values)
    assert figures is not None
    ranks = [figures.min, *(getattr(figures, name) for name in PERCENTILES), figures.max]
    assert ranks == sorted(ranks)
    assert figures.mean == pytest.approx(statistics.fmean(values), abs=1e-3)
    assert figures.std == pytest.approx(statistics.pstdev(values), rel=1e-6, abs=1e-3)


def test_no_values_have_no_spread() -> None:
    assert spread([]) is None


def test_counts_of_a_level() -> None:
    records = [
        record(0),
        record(1, error="http 500", detail="not now", ttft_ms=None),
        record(2, error="http 500", detail="nor then", ttft_ms=None),
        record(3, error="timeout", ttft_ms=None),
        record(4, cancelled=True),
        record(5, completion_tokens=3, cached_tokens=4),
    ]
    figures = report(records, duration_s=2.0)
    assert (figures.requests, figures.ok, figures.cancelled) == (6, 2, 1)
    assert figures.errors == {"http 500": 2, "timeout": 1}
    assert figures.error_details == {"http 500": "not now"}
    assert (figures.prompt_tokens, figures.cached_tokens, figures.completion_tokens) == (16, 4, 7)
    assert (figures.cached_share, figures.length_mismatches) == (0.25, 1)
    assert (figures.requests_per_s, figures.output_tokens_per_s, figures.total_tokens_per_s) == (1.0, 3.5, 11.5)


def test_latencies_are_of_complete_answers_only() -> None:
    figures = report([record(0), record(1, ttft_ms=9e9, error="timeout"), record(2, ttft_ms=9e9, cancelled=True)])
    assert figures.ttft_ms is not None and figures.ttft_ms.max == 10
    assert figures.ttst_ms is not None and figures.ttst_ms.p50 == 5
    assert figures.user_tokens_per_s is not None and figures.user_tokens_per_s.p50 == 200
    assert figures.lag_ms is None


def test_a_level_without_any_answer() -> None:
    figures = report([record(0, error="cannot connect", ttft_ms=None, e2e_ms=0.0)], duration_s=1.0)
    assert (figures.ok, figures.requests_per_s, figures.tokens_from) == (0, 0.0, "usage")
    assert figures.ttft_ms is figures.itl_ms is figures.tpot_ms is figures.e2e_ms is None


def test_answers_that_are_not_streamed_have_only_an_end() -> None:
    whole = [record(n, ttft_ms=None, tpot_ms=None, itl_ms=[], chunk_ms=[]) for n in range(3)]
    figures = report(whole, stream=False)
    assert figures.ttft_ms is figures.itl_ms is figures.user_tokens_per_s is None
    assert figures.e2e_ms is not None
    assert list(token_times(whole[0])) == [25.0] * 4


@pytest.mark.parametrize(
    ("sources", "told"), [(["usage"], "usage"), (["chunks"], "chunks"), (["usage", "chunks"], "mixed")]
)
def test_where_token_counts_come_from(sources: list[str], told: str) -> None:
    assert report([record(n, tokens_from=source) for n, source in enumerate(sources)]).tokens_from == told


@given(st.integers(0, 10_000))
def test_the_order_of_records_does_not_matter(seed: int) -> None:
    records = made(seed % 7, 30, failing=0.2)
    shuffled = Random(seed).sample(records, len(records))
    facts = {"duration_s": 1.0}
    first, second = report(records, **facts), report(shuffled, **facts)
    for name in first.__struct_fields__:
        assert getattr(first, name) == getattr(second, name), name


def test_windows_hold_every_token_once() -> None:
    records = made(1, 200, gap_ms=11)
    last_ms = max(one.end_ms for one in records)
    tokens = sum(one.completion_tokens for one in records)
    for window in (7.0, 100.0, 1e3, 1e6):
        counts = token_counts(records, window, last_ms)
        assert sum(counts) == tokens
        assert (len(counts) - 1) * window < last_ms <= len(counts) * window


def test_the_peak_is_over_windows_of_a_second() -> None:
    burst = [record(n, sent_ms=1200.0, due_ms=1200.0) for n in range(10)]
    figures = report([record(99), *burst], duration_s=4.0)
    assert figures.peak_output_tokens_per_s == 40.0
    assert figures.output_tokens_per_s == 11.0


def test_a_run_shorter_than_a_second_peaks_at_its_mean() -> None:
    figures = report([record(0)], duration_s=0.5)
    assert figures.peak_output_tokens_per_s == figures.output_tokens_per_s == 8.0


def test_concurrency_counts_what_overlaps() -> None:
    after = [record(0), record(1, sent_ms=25.0), record(2, sent_ms=50.0)]
    assert peak_concurrency(after) == 1
    over = [record(0), record(1, sent_ms=24.0, error="timeout"), record(2, sent_ms=24.5, cancelled=True)]
    assert peak_concurrency(over) == 3
    assert in_flight(over)[-1] == (49.5, 0)
    assert peak_concurrency([]) == 0


def test_workers_and_processes_have_their_share() -> None:
    figures = report(made(2, 40), processes={"frontend": Usage(0.4, 2**21)}, duration_s=1.0)
    assert {name: share.requests for name, share in figures.workers.items()} == {"decode-0": 20, "decode-1": 20}
    assert sum(share.cached_tokens for share in figures.workers.values()) == figures.cached_tokens
    use = figures.processes["frontend"]
    assert (use.cores, use.ms_per_request, use.rss_mb) == (0.4, 10.0, 2.0)


@pytest.mark.parametrize(
    ("late_ms", "cap", "cpu_s", "told"),
    [
        (0.5, None, 0.1, ""),
        (30.0, None, 0.1, "1 % of its requests were 30+ ms late"),
        (30.0, 2, 0.1, ""),  # the cap made them wait, not the client
        (0.5, None, 0.95, "0.95 of one core"),
    ],
)
def test_whether_the_client_was_the_limit(late_ms: float, cap: int | None, cpu_s: float, told: str) -> None:
    records = [record(n, due_ms=0.0, sent_ms=late_ms) for n in range(4)]
    figures = report(records, concurrency=cap, client_cpu_s=cpu_s, duration_s=1.0)
    assert told in figures.client_limit
    assert figures.client_limited == bool(told)
    assert figures.lag_ms is not None and figures.lag_ms.p50 == late_ms

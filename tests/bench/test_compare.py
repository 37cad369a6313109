"""Two results against each other."""

from __future__ import annotations

import statistics
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report import Point, Results, compare, read_results, render_comparison, write_results
from dynamo_cli.bench.report.batches import interval, mean_draws, percentile_draws, share_draws
from dynamo_cli.bench.report.compare import BETTER, UNCLEAR, UNKNOWN, WORSE, Comparison, Row
from dynamo_cli.bench.report.spread import percentile
from dynamo_cli.bench.slo import parse_slo
from tests.bench.records import made, report, summary


def saved(path: Path, records: list[RequestRecord], label: str = "c=1", **changes: Any) -> Results:
    figures = report(records, parse_slo("ttft=20ms"))
    write_results(path, summary([Point(label=label, report=figures)], **changes), {label: records})
    return read_results(path)


def slower(records: list[RequestRecord], factor: float) -> list[RequestRecord]:
    """The same requests with every time after sending stretched."""
    return [
        msgspec.structs.replace(
            one,
            ttft_ms=(one.ttft_ms or 0) * factor,
            tpot_ms=(one.tpot_ms or 0) * factor,
            e2e_ms=one.e2e_ms * factor,
            itl_ms=[gap * factor for gap in one.itl_ms],
        )
        for one in records
    ]


def rows(comparison: Comparison) -> dict[str, Row]:
    return {row.metric: row for row in comparison.points[0].rows}


LATENCIES = [f"{name} {kind}, ms" for name in ("TTFT", "TPOT", "E2E") for kind in ("mean", "p50")]


def test_what_is_slower_is_worse_and_the_other_way_round_better(tmp_path: Path) -> None:
    fast = saved(tmp_path / "fast", made(1, 400))
    slow = saved(tmp_path / "slow", slower(made(2, 400), 1.2))
    worse, better = rows(compare(fast, slow)), rows(compare(slow, fast))
    for name in [*LATENCIES, "ITL p50, ms"]:
        assert (worse[name].verdict, better[name].verdict) == (WORSE, BETTER), name
        assert worse[name].ratio == pytest.approx(1.2, rel=0.1)
        assert worse[name].difference == pytest.approx(-better[name].difference)
    assert worse["within SLO, %"].verdict == WORSE


def test_more_throughput_is_better(tmp_path: Path) -> None:
    few = saved(tmp_path / "few", made(1, 400, gap_ms=20))
    many = saved(tmp_path / "many", made(2, 800, gap_ms=10))
    figures = rows(compare(few, many))
    assert (figures["output tok/s"].verdict, figures["requests/s"].verdict) == (BETTER, BETTER)
    assert figures["requests/s"].ratio == pytest.approx(2, rel=0.05)


def test_more_failures_are_worse(tmp_path: Path) -> None:
    good = saved(tmp_path / "good", made(1, 400))
    bad = saved(tmp_path / "bad", made(1, 400, failing=0.1))
    assert rows(compare(good, bad))["failed, %"].verdict == WORSE


def test_chance_alone_is_no_difference(tmp_path: Path) -> None:
    """95 % intervals: of many comparisons of the same system, about one in twenty claims a difference."""
    results = [saved(tmp_path / str(seed), made(seed, 150)) for seed in range(12)]
    verdicts = [
        row.verdict
        for a, b in zip(results[::2], results[1::2], strict=True)
        for row in compare(a, b).points[0].rows
        if row.verdict != UNKNOWN
    ]
    claimed = sum(verdict != UNCLEAR for verdict in verdicts)
    assert len(verdicts) > 60
    assert claimed / len(verdicts) < 0.2


def test_a_result_against_itself_has_no_difference(tmp_path: Path) -> None:
    one = saved(tmp_path, made(1, 200))
    comparison = compare(one, one)
    assert comparison.warnings == []
    assert {row.difference for row in comparison.points[0].rows} == {0.0}
    assert {row.verdict for row in comparison.points[0].rows} <= {UNCLEAR, UNKNOWN}


def test_the_same_two_results_give_the_same_intervals(tmp_path: Path) -> None:
    a, b = saved(tmp_path / "a", made(1, 200)), saved(tmp_path / "b", made(2, 200))
    assert compare(a, b) == compare(a, b)


def test_summaries_alone_have_no_intervals_and_say_so(tmp_path: Path) -> None:
    a, b = saved(tmp_path / "a", made(1, 100)), saved(tmp_path / "b", made(2, 100))
    (tmp_path / "a" / "requests.jsonl").unlink()
    comparison = compare(read_results(tmp_path / "a" / "summary.json"), b)
    assert comparison.warnings == [f"{a.path} has no requests.jsonl beside it: no intervals of latency or throughput"]
    figures = rows(comparison)
    assert all(figures[name].verdict == UNKNOWN and figures[name].low is None for name in LATENCIES)
    assert figures["failed, %"].verdict == UNCLEAR, "counts are in the summary"


def test_few_requests_have_no_intervals(tmp_path: Path) -> None:
    a, b = saved(tmp_path / "a", made(1, 9)), saved(tmp_path / "b", made(2, 9))
    figures = rows(compare(a, b))
    assert figures["TTFT p50, ms"].verdict == figures["output tok/s"].verdict == UNKNOWN


def test_what_else_differs_is_named(tmp_path: Path) -> None:
    a = saved(tmp_path / "a", made(1, 20), args={"isl": 64, "output": "a"}, host={"cores": 2})
    b = saved(tmp_path / "b", made(1, 20), args={"isl": 65, "output": "b"}, host={"cores": 4}, mode="closed loop")
    assert compare(a, b).warnings == [
        "they differ in mode: open loop, closed loop",
        "they differ in args.isl: 64, 65",
        "they differ in host.cores: 2, 4",
    ]


def test_levels_are_paired_by_their_labels(tmp_path: Path) -> None:
    def sweep(path: Path, caps: tuple[int, ...]) -> Results:
        by_label = {f"c={cap}": made(cap, 20) for cap in caps}
        points = [Point(label=label, report=report(records)) for label, records in by_label.items()]
        write_results(path, summary(points), by_label)
        return read_results(path)

    comparison = compare(sweep(tmp_path / "a", (1, 2, 4)), sweep(tmp_path / "b", (2, 4, 8)))
    assert [point.label for point in comparison.points] == ["c=2", "c=4"]
    assert comparison.warnings == ["only in one of them: c=1, c=8"]
    nothing = compare(sweep(tmp_path / "c", (1, 2)), sweep(tmp_path / "d", (3, 4)))
    assert "They have no load level in common." in render_comparison(nothing)


def test_the_text_fits_a_terminal_and_tells_what_it_means(tmp_path: Path) -> None:
    a, b = saved(tmp_path / "a", made(1, 400)), saved(tmp_path / "b", slower(made(2, 400), 1.2), label="c=2")
    lines = render_comparison(compare(a, b)).splitlines()
    assert lines[0] == f"a: {tmp_path}/a/summary.json"
    assert max(len(line) for line in lines[2:]) <= 80
    assert any(line.startswith("TTFT p50, ms") and line.endswith("worse") for line in lines)
    assert any(line.startswith("c=1 / c=2") for line in lines)


def test_means_vary_as_their_standard_error_says() -> None:
    rng = Random(1)
    values = [rng.gauss(100, 10) for _ in range(400)]
    draws = mean_draws(Random(0), values)
    assert statistics.fmean(draws) == pytest.approx(statistics.fmean(values), abs=0.1)
    assert statistics.pstdev(draws) == pytest.approx(10 / 400**0.5, rel=0.15)


@pytest.mark.parametrize("percent", [50, 90])
def test_percentiles_of_independent_values_vary_as_those_of_resamples(percent: float) -> None:
    rng = Random(5)
    values = [rng.lognormvariate(2, 0.5) for _ in range(400)]
    real = sorted(percentile(sorted(rng.choices(values, k=400)), percent) for _ in range(2000))
    drawn = sorted(percentile_draws(Random(6), [[value] for value in values], percent))
    for tail in (5, 50, 95):
        assert percentile(drawn, tail) == pytest.approx(percentile(real, tail), rel=0.05)


def test_values_that_go_together_say_less_than_as_many_alone() -> None:
    rng = Random(7)
    batches = [[rng.gauss(mean, 0.1)] * 50 for mean in (rng.gauss(10, 1) for _ in range(100))]
    together = statistics.pstdev(percentile_draws(Random(1), batches, 50))
    alone = statistics.pstdev(percentile_draws(Random(1), [[v] for batch in batches for v in batch], 50))
    assert together > 4 * alone


def test_the_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of two runs whose batches share a delay, so that requests are far from independent."""
    held = 0
    rng = Random(11)
    for _ in range(100):
        runs = [[[rng.gauss(shift, 1) + 10 for _ in range(8)] for shift in _shifts(rng)] for _ in range(2)]
        low, high = interval(*(percentile_draws(rng, batches, 50) for batches in runs))
        held += low <= 0 <= high
    assert 0.88 <= held / 100 <= 0.99


def _shifts(rng: Random) -> list[float]:
    return [rng.gauss(0, 2) for _ in range(25)]


def test_shares_are_never_certain() -> None:
    low, high = interval(share_draws(Random(0), 0, 100), share_draws(Random(1), 30, 100))
    assert 0.15 < low < 0.3 < high < 0.45
    assert max(share_draws(Random(0), 0, 100)) > 0

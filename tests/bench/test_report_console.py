"""What people and their scripts read."""

from __future__ import annotations

import re

import pytest

from dynamo_cli.bench.report import Point, render
from dynamo_cli.bench.slo import parse_slo
from tests.bench.records import made, record, report, summary

FAMILIAR = (
    "Successful requests",
    "Failed requests",
    "Maximum request concurrency",
    "Request rate configured (RPS)",
    "Benchmark duration (s)",
    "Total input tokens",
    "Total generated tokens",
    "Request throughput (req/s)",
    "Request goodput (req/s)",
    "Output token throughput (tok/s)",
    "Peak output token throughput (tok/s)",
    "Peak concurrent requests",
    "Total token throughput (tok/s)",
    *(f"{kind} {name} (ms)" for name in ("TTFT", "TPOT", "ITL", "E2EL") for kind in ("Mean", "Median", "P99")),
)


def one(**changes: object) -> str:
    records = made(3, 60, failing=0.1)
    figures = report(records, parse_slo("ttft=20ms"), concurrency=64)
    return render(summary([Point(label="rate=50", report=figures, rate=50.0)], **changes))


@pytest.mark.parametrize("name", FAMILIAR)
def test_scripts_find_the_familiar_lines(name: str) -> None:
    lines = [line for line in one().splitlines() if line.startswith(f"{name}:")]
    assert len(lines) == 1
    assert re.fullmatch(r".{40} \d+(\.\d\d)?", lines[0])


def test_the_block_has_its_frame() -> None:
    lines = one().splitlines()
    assert lines[0] == "============ Serving Benchmark Result ============"
    assert "-----Time per Output Token (excl. 1st token)------" in lines
    assert "=" * 50 in lines


def test_lines_fit_a_terminal() -> None:
    assert max(map(len, one().splitlines())) <= 80


def test_failures_are_told_with_the_first_of_each() -> None:
    text = one()
    assert re.search(r"^failed: \d+ x http 529\n  first error: full$", text, re.MULTILINE)


def test_what_a_search_says_comes_last() -> None:
    assert one(remarks=["The highest rate is 50."]).endswith("\nThe highest rate is 50.")


def test_a_client_that_was_the_limit_is_told() -> None:
    figures = report([record()], client_cpu_s=1.0, duration_s=1.0)
    assert "The client was the limit: it used 1.00 of one core.\nThe server can do more" in render(
        summary([Point(label="c=1", report=figures)])
    )


def levels(*, slo: str | None = None, found: str | None = None) -> str:
    points = []
    for cap, count in ((4, 40), (1, 10), (2, 20), (8, 41)):
        records = made(cap, count, gap_ms=400 / count, itl_ms=5.0 + cap)
        figures = report(records, parse_slo(slo) if slo else None, concurrency=cap, duration_s=1.0)
        points.append(Point(label=f"c={cap}", report=figures, concurrency=cap))
    return render(summary(points, found=found))


def test_several_levels_are_a_table_from_the_lightest() -> None:
    lines = levels().splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ["c=1", "c=2", "c=4", "c=8"]
    assert len({len(line) for line in lines[1:6]}) == 1
    assert max(map(len, lines)) <= 80


def test_the_knee_is_the_lightest_load_of_nearly_the_highest_throughput() -> None:
    assert "Throughput stops rising at c=4, 40.00 req/s" in levels()


def test_the_best_level_within_the_objective_is_named() -> None:
    text = levels(slo="itl=8ms")
    assert "Most requests within itl=8ms: c=2, 20.00 req/s" in text
    assert re.search(r"^c=2 .* met 100%$", text, re.MULTILINE)
    assert re.search(r"^c=8 .* missed 0%$", text, re.MULTILINE)
    assert "No level keeps within itl=1ms." in levels(slo="itl=1ms")


def test_what_was_searched_is_named() -> None:
    assert "Found: c=2, 20.00 req/s, 480.0 tok/s, within itl=8ms." in levels(slo="itl=8ms", found="c=2")


def test_no_level_at_all_is_no_error() -> None:
    assert render(summary([])).startswith("level")

from __future__ import annotations

from typing import Any

import pytest

from dynamo_cli.bench.slo import Limit, Slo, parse_slo
from dynamo_cli.errors import UsageError
from tests.bench.records import record, report


def test_what_is_written_is_what_is_meant() -> None:
    slo = parse_slo("ttft=200ms, itl=20ms,p99.e2e=1.5s,attain=95%")
    limits = (Limit("ttft", 200.0), Limit("itl", 20.0), Limit("e2e", 1500.0, "p99"))
    assert slo == Slo(limits, 0.95)
    assert parse_slo(str(slo)) == slo
    assert str(parse_slo("ttft=1000ms")) == "ttft=1s"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "--slo '': expected such as ttft=200ms"),
        ("ttft", "--slo 'ttft': expected such as"),
        ("ttft=200", "--slo ttft=200: expected a time above 0 such as 200ms"),
        ("ttft=-1ms", "--slo ttft=-1ms: expected a time"),
        ("ttft=0ms", "--slo ttft=0ms: expected a time above 0"),
        ("tttf=1ms", "--slo tttf: the metrics are ttft itl tpot e2e; did you mean ttft"),
        ("p98.ttft=1ms", "--slo p98.ttft: p98 is none of mean p50 p90 p95 p99 p99.9 max"),
        ("ttft=1ms,ttft=2ms", "--slo ttft: given twice"),
        ("attain=95%", "--slo attain=95%: has no limit"),
        ("ttft=1ms,attain=0%", "--slo attain=0%: expected a share"),
        ("ttft=1ms,attain=0.9", "--slo attain=0.9: expected a share"),
        ("ttft=1ms,", "--slo 'ttft=1ms,': expected such as"),
    ],
)
def test_a_wrong_item_is_named(text: str, line: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_slo(text)
    assert str(raised.value).startswith(line)


@pytest.mark.parametrize(
    ("slo", "changes", "met"),
    [
        ("ttft=10ms", {}, True),
        ("ttft=9.9ms", {}, False),
        ("itl=5ms,tpot=5ms,e2e=25ms", {}, True),
        ("itl=5ms", {"itl_ms": [1.0, 1.0, 14.0]}, False),
        ("tpot=4ms", {}, False),
        ("e2e=24ms", {}, False),
        ("e2e=1s", {"error": "timeout"}, False),
        ("e2e=1s", {"cancelled": True}, False),
        ("itl=1ms,tpot=1ms", {"tpot_ms": None, "itl_ms": [], "completion_tokens": 1}, True),  # one token has no gap
        ("ttft=1s", {"ttft_ms": None}, False),  # nothing was streamed
        ("e2e=1s", {"ttft_ms": None}, True),
        ("p99.ttft=1ms", {}, True),  # a limit on the level, not on a request
    ],
)
def test_whether_a_request_meets_it(slo: str, changes: dict[str, Any], met: bool) -> None:
    assert parse_slo(slo).met_by(record(**changes)) is met


def level(slow: int, failed: int = 0, cancelled: int = 0) -> list[Any]:
    records = [record(n) for n in range(100 - slow - failed - cancelled)]
    records += [record(n, ttft_ms=50.0) for n in range(slow)]
    records += [record(n, error="http 500", ttft_ms=None) for n in range(failed)]
    return records + [record(n, cancelled=True) for n in range(cancelled)]


@pytest.mark.parametrize(
    ("slo", "records", "share", "misses"),
    [
        ("ttft=20ms", level(1), 0.99, []),
        ("ttft=20ms", level(2), 0.98, ["98 % of the requests meet it, 99 % must"]),
        ("ttft=20ms,attain=90%", level(5, failed=5), 0.9, []),
        ("ttft=20ms", level(0, cancelled=50), 1.0, []),
        (
            "ttft=20ms,itl=9ms",
            level(5),
            0.95,
            ["95 % of the requests meet it (ttft=20ms by 95 %), 99 % must"],
        ),
        ("p90.ttft=20ms", level(5), 1.0, []),
        ("p99.ttft=20ms", level(5), 1.0, ["p99 TTFT is 50 ms, at most 20ms is asked"]),
        ("max.e2e=1ms", level(0), 1.0, ["max E2E is 25 ms, at most 1ms is asked"]),
    ],
)
def test_whether_a_level_meets_it(slo: str, records: list[Any], share: float, misses: list[str]) -> None:
    objective = parse_slo(slo)
    figures = report(records, objective, duration_s=1.0)
    assert figures.goodput is not None
    assert figures.goodput.share == share
    assert figures.goodput.requests_per_s == figures.goodput.requests
    assert objective.misses(figures) == misses


def test_a_level_without_requests_misses_it() -> None:
    objective = parse_slo("p99.ttft=1s")
    assert objective.misses(report([], objective, duration_s=1.0)) == [
        "0 % of the requests meet it, 99 % must",
        "p99 TTFT was not measured, 1s is asked",
    ]


def test_a_report_made_without_it_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="not made with this SLO"):
        parse_slo("ttft=1s").misses(report([record()]))

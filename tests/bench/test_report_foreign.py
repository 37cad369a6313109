"""Figures in the words of other benchmarks."""

from __future__ import annotations

import json
from statistics import mean

import pytest

from dynamo_cli.bench.options import Options, check
from dynamo_cli.bench.report import Point
from dynamo_cli.bench.report.foreign import FORMATS, aiperf_json, vllm_json
from dynamo_cli.bench.slo import parse_slo
from dynamo_cli.errors import UsageError
from tests.bench.records import made, report, summary

RECORDS = made(5, 50, failing=0.1)
GOOD = [record for record in RECORDS if record.ok]
SUMMARY = summary([Point(label="rate=50", report=report(RECORDS, parse_slo("ttft=20ms")), rate=50.0)])


def test_vllm() -> None:
    found = vllm_json(SUMMARY, RECORDS)
    assert found["completed"] == len(GOOD) and found["failed"] == 50 - len(GOOD) and found["num_prompts"] == 50
    assert found["request_rate"] == 50.0 and found["total_output_tokens"] == 24 * len(GOOD)
    assert found["mean_ttft_ms"] == pytest.approx(mean(record.ttft_ms or 0 for record in GOOD), abs=0.01)
    assert {
        f"{figure}_{name}_ms" for figure in ("mean", "median", "std", "p99") for name in ("tpot", "itl", "e2el")
    } < (found.keys())
    arrays = [found[name] for name in ("input_lens", "output_lens", "ttfts", "itls", "start_times", "errors")]
    assert {len(array) for array in arrays} == {50}
    assert sum(map(bool, found["errors"])) == found["failed"]
    assert mean(ttft for ttft in found["ttfts"] if ttft) * 1e3 == pytest.approx(found["mean_ttft_ms"], abs=0.01)


def test_aiperf() -> None:
    found = aiperf_json(SUMMARY, RECORDS)
    ttft = found["time_to_first_token"]
    assert (
        ttft["unit"] == "ms" and ttft["min"] <= ttft["p1"] <= ttft["p50"] <= ttft["avg"] <= ttft["p99"] <= ttft["max"]
    )
    assert found["inter_token_latency"]["avg"] == pytest.approx(mean(r.tpot_ms or 0 for r in GOOD), abs=0.01)
    assert found["output_sequence_length"]["avg"] == 24 and found["request_count"] == {
        "unit": "requests",
        "avg": len(GOOD),
    }
    assert found["error_summary"] == [
        {"error_details": {"type": "http 529", "message": "full"}, "count": 50 - len(GOOD)}
    ]
    assert found["goodput"]["avg"] > 0


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_was_answered(name: str) -> None:
    records = made(5, 4, failing=1.0)
    none = summary([Point(label="c=1", report=report(records), concurrency=1)])
    assert json.loads(json.dumps(FORMATS[name](none, records)))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (Options(format="xml"), "--format xml: use vllm-json, aiperf-json"),
        (Options(format="vllm-json", json=True), "choose one of --json and --format"),
        (Options(format="vllm-json", sweep="1,2"), "--format vllm-json is for one level: drop --sweep"),
    ],
)
def test_what_does_not_go(options: Options, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        check(options)

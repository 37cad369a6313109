"""Which options go together, and what follows from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.bench import prepare
from dynamo_cli.bench.options import Options, check
from dynamo_cli.errors import UsageError

TRACE = Path("trace.jsonl")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"rate": 1.0, "sweep": "1,2"}, "--rate does not go with --sweep"),
        ({"rate": 1.0, "concurrency": 3}, "-c does not go with --rate; --max-concurrency limits an open loop"),
        ({"sweep": "1", "concurrency": 3}, "-c does not go with --sweep"),
        ({"trace": TRACE, "rate": 1.0}, "--rate does not go with --trace"),
        ({"sweep": "1", "sweep_rate": "1"}, "choose one of --sweep, --sweep-rate"),
        ({"burstiness": 2.0}, "--burstiness is for an open loop: add --rate"),
        ({"arrivals": "poisson"}, "--arrivals is for an open loop: add --rate"),
        ({"max_concurrency": 2}, "--max-concurrency is for an open loop: add --rate"),
        ({"rate": 1.0, "arrivals": "uniform"}, "--arrivals uniform: use poisson, constant, gamma"),
        ({"rate": 1.0, "arrivals": "poisson", "burstiness": 2.0}, "--burstiness is of --arrivals gamma, not poisson"),
        ({"ramp": 5.0, "duration": 3.0}, "--ramp 5 must be shorter than --duration 3"),
        ({"find_max_rate": True}, "--find-max-rate needs --slo, such as --slo ttft=200ms,itl=20ms"),
        (
            {"find_max_rate": True, "slo": "ttft=1s", "max_concurrency": 3},
            "--max-concurrency would hide from the SLO how long requests wait: drop it with --find-max-rate",
        ),
        ({"think_time": 1.0}, "--think-time needs --turns 2 or more"),
        ({"sessions": 2, "turns": 1}, "--sessions needs --turns 2 or more"),
        ({"sessions": 2, "turns": 2, "requests": 4}, "-n counts requests and --sessions conversations: choose one"),
        ({"groups": 2}, "--groups needs --shared-prefix"),
        ({"speed": 2.0}, "--speed needs --trace"),
        ({"trace": TRACE, "isl": 5, "turns": 2}, "--trace has its own lengths and times: drop --isl, --turns"),
        ({"trace": TRACE, "trace_start": 5.0, "trace_end": 5.0}, "--trace-end must be later than --trace-start"),
        ({"trace": TRACE, "ramp": 5.0}, "--ramp does not go with --trace, which has its own times"),
        ({"cancel_rate": 0.1, "stream": False}, "--cancel-rate needs streamed answers: drop --no-stream"),
        (
            {"compare": (TRACE, TRACE), "requests": 5},
            "--compare reads two results and measures nothing: drop --requests",
        ),
        ({"duration": float("inf")}, "--duration inf: expected a number"),
    ],
)
def test_options_that_contradict_each_other(given: dict, line: str) -> None:
    with pytest.raises(UsageError) as refused:
        check(Options(**given))
    assert str(refused.value) == line


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"rate": 5.0, "burstiness": 0.5, "max_concurrency": 3, "ramp": 2.0, "duration": 5.0},
        {"find_max_rate": True, "slo": "ttft=1s", "rate": 5.0, "arrivals": "constant"},
        {"sweep_rate": "1,2", "arrivals": "gamma"},
        {"trace": TRACE, "max_concurrency": 5, "speed": 2.0, "requests": 5, "cancel_rate": 0.5},
        {"turns": 3, "sessions": 2, "think_time": 0.5, "concurrency": 2, "shared_prefix": 100, "groups": 2},
        {"compare": (TRACE, TRACE), "json": True, "api_key": "from the environment"},
    ],
)
def test_options_that_go_together(given: dict) -> None:
    check(Options(**given))


@pytest.mark.parametrize(
    ("given", "requests", "duration"),
    [
        ({}, 200, None),
        ({"rate": 2.0}, 200, None),
        ({"duration": 3.0}, None, 3.0),
        ({"duration": 3.0, "requests": 7}, 7, 3.0),
        ({"turns": 4, "sessions": 5}, 20, None),
        ({"sweep": "auto"}, None, 10.0),
        ({"sweep": "1,2", "requests": 7}, 7, None),
        ({"find_max_rate": True}, None, 10.0),
    ],
)
def test_how_long_a_level_sends(given: dict, requests: int | None, duration: float | None) -> None:
    work = prepare.workload(Options(**given).completed())
    assert (work.requests, work.duration_s) == (requests, duration)


def test_what_goes_to_a_file_has_no_secret() -> None:
    options = Options(api_key="sk-1", header=["X-Token: sk-2"], url="http://me:sk-3@host", requests=5)
    public = options.completed().public()
    assert "sk-" not in str(public)
    assert (public["header"], public["requests"], public["concurrency"]) == (["X-Token"], 5, 16)


def test_headers() -> None:
    assert prepare.headers(Options(api_key="k", header=["X-A: b:c"])) == {"authorization": "Bearer k", "x-a": "b:c"}
    assert prepare.headers(Options(api_key="k", header=["Authorization: x"])) == {"authorization": "x"}


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("novalue", "--header novalue: expected NAME:VALUE"),
        ("bad name: x", "--header bad name: x: expected NAME:VALUE"),
        (": x", "--header : x: expected NAME:VALUE"),
        ("Content-Length: 3", "--header content-length: follows from the request itself"),
        ("X: a\r\nInjected: b", "the value of the header x has characters that HTTP does not allow"),
    ],
)
def test_headers_that_are_none(header: str, line: str) -> None:
    with pytest.raises(UsageError) as refused:
        prepare.headers(Options(header=[header]))
    assert str(refused.value) == line


@pytest.mark.parametrize("text", ["", "1,,2", "0,1", "a", "1.5", "-1"])
def test_concurrencies_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="expected concurrencies such as"):
        prepare.concurrencies(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "x"])
def test_rates_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="expected requests per second such as"):
        prepare.rates(text)


def test_levels() -> None:
    assert prepare.concurrencies("1, 2,8") == [1, 2, 8]
    assert prepare.rates("0.5,2") == [0.5, 2.0]
    with pytest.raises(UsageError, match="given twice"):
        prepare.rates("1,1.0")
    with pytest.raises(UsageError, match="--find-max-rate searches"):
        prepare.rates("auto")


def test_a_limit_on_tokens_needs_a_stream() -> None:
    assert prepare.objective(Options(slo="e2e=1s", stream=False))
    with pytest.raises(UsageError, match="--slo itl needs streamed answers"):
        prepare.objective(Options(slo="e2e=1s,itl=1ms", stream=False))

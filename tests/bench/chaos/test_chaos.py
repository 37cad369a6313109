"""The harness, with real processes: one row, and a short soak."""

from __future__ import annotations

import json
import os

import pytest

from dynamo_cli.bench.chaos import command
from dynamo_cli.bench.chaos.faults import FAULTS

MINUTES = os.environ.get("DYN_TEST_SOAK_MINUTES", "0.4")
"""Of the soak."""
SLOW_ENOUGH_S = 60


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_request(capsys: pytest.CaptureFixture[str]) -> None:
    code = command.main(["worker-killed", "--streams", "16", "--json"])
    printed = capsys.readouterr()
    assert code == 0, printed
    (result,) = json.loads(printed.out)["results"]
    assert result["seen"]["requests"] > 0
    assert (result["met"], result["seen"]["failed"], result["seen"]["cut"], result["seen"]["differ"]) == (True, 0, 0, 0)
    assert result["seen"]["longest_gap_s"] > 0
    assert result["left_behind"] == []


@pytest.mark.slow
@pytest.mark.timeout(SLOW_ENOUGH_S + 90 * float(MINUTES))
def test_a_soak_loses_nothing_that_could_be_saved(capsys: pytest.CaptureFixture[str]) -> None:
    code = command.main(["soak", "--minutes", MINUTES, "--every", "4", "--streams", "16", "--json", "--seed", "1"])
    printed = capsys.readouterr()
    assert code == 0, printed
    result = json.loads(printed.out)
    assert sum(result["faults"].values()) > 1
    assert {(each["who"], each["what"]) for each in result["growth"]} >= {
        ("supervisor", "memory MB"),
        ("log keeper", "descriptors"),
        ("frontend", "threads"),
        ("worker", "memory MB"),
        ("deployment", "files"),
        ("deployment", "processes"),
    }


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nonsense"], f"there is no row nonsense; the rows are {' '.join(fault.name for fault in FAULTS)}, or soak"),
        (["soak", "worker-killed"], "there is no row soak"),
        (["soak", "--minutes", "0"], "--minutes and --every are more than 0"),
    ],
)
def test_what_cannot_be_done_is_refused(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(words) == 2
    assert line in capsys.readouterr().err

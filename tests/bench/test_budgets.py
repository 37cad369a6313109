"""The measuring of the budgets, and the commands' defaults, against real deployments."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_cli.bench.budgets import command as budgets
from dynamo_cli.bench.budgets.result import TOLERANCE, Result, as_table
from dynamo_cli.bench.budgets.rig import TOPOLOGY
from dynamo_cli.bench.target import DEFAULT_URL, default_url
from dynamo_cli.errors import UsageError

pytestmark = pytest.mark.slow


def dynamo(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dynamo_cli", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


@pytest.fixture
def deployment(clean_environment: Path) -> Iterator[dict]:
    up = dynamo(
        "up",
        "-d",
        str(TOPOLOGY),
        "--json",
        "--set",
        "frontend.port=0",
        "--set",
        "workers.decode.options.speedup_ratio=0",
    )
    assert up.returncode == 0, up.stderr
    yield json.loads(up.stdout)
    assert dynamo("down", "--all").returncode == 0


def test_commands_find_the_only_running_deployment(deployment: dict) -> None:
    assert default_url() == deployment["url"]
    done = dynamo("bench", "-n", "20", "-c", "4", "--osl", "8", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)["points"][0]["report"]
    assert (report["ok"], report["completion_tokens"], report["url"]) == (20, 160, deployment["url"])
    answer = dynamo("chat", "hello", "--max-tokens", "8")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.strip()


def test_without_a_deployment_it_is_port_8000() -> None:
    assert default_url() == DEFAULT_URL


def test_several_deployments_need_a_choice(deployment: dict) -> None:
    second = dynamo("up", "-d", str(TOPOLOGY), "--set", "frontend.port=0", "--set", 'name="other"')
    assert second.returncode == 0, second.stderr
    with pytest.raises(UsageError, match=r"several deployments are running: .*choose one with --url"):
        default_url()


def test_rows_are_measured_in_a_home_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert budgets.main(["--quick", "--json", "e2e", "short", "8k-same", "help", "rss-idle"]) == 0
    results = {row["row"]: row for row in json.loads(capsys.readouterr().out)["results"]}
    assert set(results) == {"e2e", "short", "8k-same", "help", "rss-idle"}
    assert all(row["measured"] > 0 for name, row in results.items() if name != "8k-same")
    assert results["e2e"]["met"] == (results["e2e"]["ratio"] <= TOLERANCE)


def test_an_unknown_row_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert budgets.main(["nonsense"]) == 2
    assert "the rows are short burst" in capsys.readouterr().err


def test_a_reference_that_cannot_be_installed_is_skipped_with_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert budgets.main(["--quick", "--reference", "help"]) == 0
    said = capsys.readouterr()
    assert "the reference is skipped: ERROR: " in said.err
    assert "| `dynamo --help` |" in said.out
    assert not list(tmp_path.rglob(".complete"))


def test_a_row_of_two_sides_names_both() -> None:
    two = Result(row="x", what="work", unit="ms", budget=2, measured=1, runs=[1], reference=4, reference_runs=[4])
    one = Result(row="y", what="other", unit="s", budget=2, measured=3, runs=[3])
    table = as_table([two, one])
    assert "| work | 2 ms | 1 ms | 0.50 | yes | 4 ms | 0.25 |" in table
    assert "| other | 2 s | 3 s | 1.50 | no |  |  |" in table
    assert "reference" not in as_table([one])

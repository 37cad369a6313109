"""`dynamo replay` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dynamo_cli.bench.replay.command import ReplayOptions, run_replay
from dynamo_cli.bench.replay.scale import measure
from dynamo_cli.bench.replay.synthetic import conversations
from dynamo_cli.errors import ResourceMissing, UsageError

PROMISED = {
    *("policy", "hit_ratio", "ttft_mean_ms", "ttft_p99_ms", "e2e_mean_ms", "itl_mean_ms", "itl_p99_ms"),
    *("prefill_max_over_mean", "wall_s", "ceiling_hit_ratio"),
}


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the Mooncake format."""
    file = tmp_path_factory.mktemp("trace") / "trace.jsonl"
    with file.open("w") as out:
        for each in conversations(200, 20.0):
            line = {
                "timestamp": int(each.timestamp_s * 1000),
                "input_length": each.input_length,
                "output_length": each.output_length,
                "hash_ids": list(each.blocks),
            }
            out.write(json.dumps(line) + "\n")
    return file


def replay(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dynamo_cli", "replay", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def test_json_is_a_list_with_an_object_for_each_policy(trace: Path) -> None:
    done = replay(trace, "--workers", "4", "--speed", "2", "--policy", "kv,reference,kv", "--seed", "1", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    results = json.loads(done.stdout)
    assert [each["policy"] for each in results] == ["kv", "reference"]
    assert all(PROMISED <= each.keys() for each in results)
    assert all(each["requests"] == 200 and each["seed"] == 1 for each in results)


def test_a_table_and_a_picture(trace: Path, tmp_path: Path) -> None:
    picture = tmp_path / "replay.svg"
    done = replay(trace, "-n", "100", "--cache-fraction", "1", "--plot", picture)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["POLICY", "kv", "reference"]
    assert "100 requests" in done.stdout
    drawn = picture.read_text()
    assert drawn.startswith("<svg xmlns=") and ">reference</text>" in drawn


@pytest.mark.parametrize(
    ("options", "line"),
    {
        "policy": (["--policy", "kv,referense"], "unknown policy 'referense'; did you mean reference?"),
        "no room": (["--cache-fraction", "0.0001"], "--cache-fraction 0.0001 of "),
        "budget": (["--max-num-seqs", "9000"], "--max-num-batched-tokens 8192 is below --max-num-seqs 9000"),
        "workers": (["--workers", "0"], "invalid value for '--workers'"),
        "speed": (["--speed", "0"], "invalid value for '--speed'"),
        "plot": (["--plot", "/nowhere/x.svg"], "--plot /nowhere/x.svg: No such file or directory"),
    }.values(),
)
def test_wrong_options(trace: Path, options: list[str], line: str) -> None:
    done = replay(trace, *options)
    assert (done.returncode, done.stdout) == (4 if "--plot" in options else 2, "")
    assert done.stderr.startswith(f"dynamo: {line}")
    assert done.stderr.count("\n") == 1


def test_a_trace_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.jsonl"):
        run_replay(ReplayOptions(tmp_path / "nothing.jsonl"))


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_text('{"timestamp": 0, "input_length": 10, "output_length": 1, "hash_ids": [1]}\n{"timestamp": 1}\n')
    with pytest.raises(UsageError, match=r"broken\.jsonl:2: "):
        run_replay(ReplayOptions(file))


def test_a_place_that_cannot_be_written_is_known_before_the_trace_is_read(tmp_path: Path) -> None:
    with pytest.raises(ResourceMissing, match="--plot"):
        run_replay(ReplayOptions(tmp_path / "nothing.jsonl", plot=tmp_path / "no" / "x.svg"))


def test_its_cost_by_size_is_measured() -> None:
    size = measure(3, 200)
    assert size.workers == 3
    assert size.us_per_request > 0
    assert size.rss_mb > 10

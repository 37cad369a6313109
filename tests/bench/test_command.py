"""`dynamo bench` as a user runs it, against servers of known behaviour."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dynamo_cli.bench.target import await_model, parse_url
from dynamo_cli.errors import NotReady
from tests.bench.server import Server, serving

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "dynamo_cli", "bench"]


def bench(server: Server, *args: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--url", server.url, "--isl", "3", "--osl", "4", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def points(done: subprocess.CompletedProcess[str]) -> dict[str, dict]:
    return {point["label"]: point["report"] for point in json.loads(done.stdout)["points"]}


def test_a_result_is_written_and_replaced_but_nothing_else_is(tmp_path: Path) -> None:
    result, other = tmp_path / "new" / "result", tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("x")
    with serving() as server:
        for _ in range(2):
            done = bench(server, "-n", "5", "-o", str(result))
            assert (done.returncode, done.stderr) == (0, f"dynamo: the files are in {result}\n")
        before = len(server.bodies)
        refused = bench(server, "-o", str(other))
        assert len(server.bodies) == before
    assert sorted(file.name for file in result.iterdir()) == [
        *("report.html", "requests.jsonl", "summary.csv", "summary.json")
    ]
    assert len((result / "requests.jsonl").read_text().splitlines()) == 5
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"dynamo: --output {other}: holds other files; name a new directory")


def test_scripts_of_other_benchmarks_are_served() -> None:
    with serving() as server:
        vllm, aiperf = (
            json.loads(bench(server, "-n", "5", "--format", f"{name}-json").stdout) for name in ("vllm", "aiperf")
        )
    assert vllm["completed"] == 5 and vllm["output_lens"] == [4] * 5
    assert aiperf["request_count"]["avg"] == 5 and aiperf["time_to_first_token"]["avg"] > 0


def test_a_result_that_cannot_be_written_is_told_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with serving() as server:
        refused = bench(server, "-o", str(tmp_path / "file"))
        assert not server.bodies
        limited = ["bash", "-c", f'ulimit -f 0; exec "$@" -n 5 -o {tmp_path}/full --url {server.url}', "bash", *COMMAND]
        done = subprocess.run(limited, capture_output=True, text=True, timeout=60)
    assert (refused.returncode, refused.stdout) == (4, "")
    assert refused.stderr == f"dynamo: --output {tmp_path}/file: cannot be made: File exists\n"
    assert done.returncode == 4 and "Mean TTFT (ms):" in done.stdout
    assert done.stderr.startswith("dynamo: ") and "File too large" in done.stderr and done.stderr.count("\n") == 1


def test_a_sweep_measures_each_level_with_prompts_of_its_own(tmp_path: Path) -> None:
    with serving() as server:
        done = bench(server, "--sweep", "1,3", "-n", "6", "-o", str(tmp_path / "r"), "--json")
        prompts = [body["messages"][0]["content"] for body in server.bodies]
    assert {label: report["requests"] for label, report in points(done).items()} == {"c=1": 6, "c=3": 6}
    assert len(set(prompts)) == 12
    records = [json.loads(line) for line in (tmp_path / "r" / "requests.jsonl").read_text().splitlines()]
    assert [record["point"] for record in records] == ["c=1"] * 6 + ["c=3"] * 6


def test_the_highest_rate_within_an_objective() -> None:
    with serving("single") as server:
        args = ("--arrivals", "constant", "--rate", "30", "--duration", "0.6", "--json")
        done = bench(server, "--find-max-rate", "--slo", "e2e=100ms,attain=90%", *args)
        never = bench(server, "--find-max-rate", "--slo", "e2e=1ms", "--rate", "1", "-n", "2")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)["found"]
    assert 20 < float(found.removeprefix("rate=")) < 75, "the server answers 50 a second"
    assert not points(done)[found]["goodput"]["misses"]
    assert f"The highest rate that meets the SLO is {found[5:]} req/s; " in json.loads(done.stdout)["remarks"][0]
    assert (never.returncode, never.stderr) == (1, "dynamo: no rate meets the SLO\n")


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("--slo", "e2e=0.01ms"), "the SLO is missed"),
        (("--slo", "e2e=10s"), ""),
        (("--model", "http-500"), "8 of 8 requests failed"),
        (("--model", "http-500", "--max-error-rate", "0.5"), "8 of 8 requests failed"),
        (("--model", "http-500", "--max-error-rate", "1"), ""),
    ],
)
def test_what_makes_it_fail(args: tuple[str, ...], complaint: str) -> None:
    with serving("good", "http-500") as server:
        done = bench(server, "-n", "8", *(() if "--model" in args else ("--model", "good")), *args)
    assert done.returncode == bool(complaint)
    assert done.stderr == (f"dynamo: {complaint}\n" if complaint else "")


def test_only_our_own_frontend_is_asked_for_the_worker() -> None:
    for owner in ("dynamo", "somebody"):
        with serving(owner=owner) as server:
            bench(server, "-n", "1")
            assert ("nvext" in server.bodies[0]) == (owner == "dynamo")


def test_the_key_goes_into_the_header_and_nowhere_else(tmp_path: Path) -> None:
    with serving() as server:
        command = [*COMMAND, "--url", server.url, "-n", "1", "--header", "X-A: hidden", "-o", str(tmp_path / "r")]
        environment = {**os.environ, "OPENAI_API_KEY": "sk-secret"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        assert server.heads[0]["authorization"] == "Bearer sk-secret"
    assert done.returncode == 0
    written = "".join(file.read_text() for file in (tmp_path / "r").iterdir())
    assert "sk-secret" not in written
    assert "hidden" not in written


def test_ctrl_c_reports_what_was_measured(tmp_path: Path) -> None:
    with serving() as server:
        command = [*COMMAND, "--url", server.url, "--model", "good", "--duration", "60", "-o", str(tmp_path / "r")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes) as process:
            while len(server.bodies) < 50:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Successful requests:" in out
    assert err.endswith("dynamo: interrupted: this is what was measured until then\n")
    assert (tmp_path / "r" / "report.html").exists()


def test_two_results_are_compared_without_a_server(tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("a", "b")]
    with serving() as server:
        for name in names:
            assert bench(server, "-n", "20", "-o", name).returncode == 0
    done = subprocess.run([*COMMAND, "--compare", *names], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "TTFT p50, ms" in done.stdout
    as_json = subprocess.run([*COMMAND, "--compare", *names, "--json"], capture_output=True, text=True, timeout=60)
    assert json.loads(as_json.stdout)["points"]


def test_a_terminal_sees_progress_and_then_only_the_result() -> None:
    ours, theirs = pty.openpty()
    with serving() as server:
        command = [*COMMAND, "--url", server.url, "--model", "slow", "-n", "40", "-c", "2", "--osl", "4"]
        server.models.append("slow")
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, text=True, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "/40 requests" in shown
    assert shown.endswith("\r\x1b[K")
    assert "\r" not in done.stdout


def test_waiting_for_a_model() -> None:
    with serving() as server:
        address = parse_url(server.url)
    with pytest.raises(NotReady, match=r"nothing listens .*; waited 0\.3 s"):
        await_model(address, None, 0.3)
    with serving("other", port=address.port) as server:
        with pytest.raises(NotReady, match=r"does not serve late; it serves other; waited 0\.3 s"):
            await_model(address, "late", 0.3)
        appear = threading.Timer(0.3, server.models.append, ["late"])
        appear.start()
        assert await_model(address, "late", 10).name == "late"


def test_wrong_options_are_one_line_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"timestamp": 0, "input_length": 4, "output_length": 1}\n{"timestamp": 1}\n')
    with serving() as server:
        for args, line in (
            (("--trace", f"{tmp_path}/t.jsonl"), f"dynamo: {tmp_path}/t.jsonl:2: Object missing required field"),
            (("--sweep", "1,x"), "dynamo: --sweep 1,x: expected concurrencies such as 1,2,4,8, or auto"),
            (("--extra-body", "[1]"), "dynamo: --extra-body: expected a JSON object"),
            (("--slo", "ttfb=3ms"), "dynamo: --slo ttfb: the metrics are"),
        ):
            command = [*COMMAND, "--url", server.url, *args]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
            assert done.stderr.startswith(line)
        assert not server.bodies

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from dynamo_cli.bench.run import run_load
from dynamo_cli.bench.target import find_model, parse_url
from dynamo_cli.bench.work.synthetic import Shape
from dynamo_cli.bench.workload import Workload
from dynamo_cli.errors import ModelMissing, NotReady, UsageError
from tests.bench.server import Server, serving


def load(server: Server, model: str, *, osl: int = 4, seed: int = 0, **changes: object) -> dict:
    from msgspec import to_builtins

    shape = Shape(isl=5, osl=osl, seed=seed)
    settings = {"requests": 6, "concurrency": 2, "shape": shape, "timeout_s": 10.0, **changes}
    return to_builtins(run_load(parse_url(server.url), model, Workload(**settings)))


@pytest.mark.parametrize("stream", [True, False])
def test_every_request_is_sent_once_and_counted(stream: bool) -> None:
    with serving() as server:
        report = load(server, "good", stream=stream, warmup=2)
        assert len(server.bodies) == 8
        assert len(server.connections) == 2, "keep-alive: a connection per lane, opened by the warm-up"
    assert (report["ok"], report["errors"], report["completion_tokens"], report["prompt_tokens"]) == (6, {}, 24, 42)
    assert report["tokens_from"] == "usage"
    assert (report["ttft_ms"] is not None) == stream
    assert report["e2e_ms"]["p99"] >= report["e2e_ms"]["p50"] > 0


def test_the_same_seed_sends_the_same_prompts() -> None:
    sent = []
    for _ in range(2):
        with serving() as server:
            load(server, "good", concurrency=1, seed=3)
            sent.append(server.bodies)
    assert sent[0] == sent[1]
    assert len({body["messages"][0]["content"] for body in sent[0]}) == 6
    assert len(sent[0][0]["messages"][0]["content"].split()) == 5


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("http-429", "http 429"),
        ("drop", "connection lost"),
        ("cut", "connection lost"),
        ("noise", "broken HTTP"),
        ("no-done", "stream without [DONE]"),
        ("error-event", "error event"),
    ],
)
def test_errors_by_kind(model: str, error: str) -> None:
    with serving() as server:
        report = load(server, model)
    assert (report["ok"], report["errors"]) == (0, {error: 6})


def test_a_silent_server_is_a_timeout() -> None:
    with serving() as server:
        report = load(server, "silent", requests=2, timeout_s=0.2)
        server.hung_up.set()
    assert report["errors"] == {"timeout": 2}


def test_gaps_between_tokens_are_seen() -> None:
    with serving() as server:
        report = load(server, "slow", osl=10)
    assert 15 < report["itl_ms"]["p50"] < 60
    assert report["tpot_ms"]["p50"] == pytest.approx(report["itl_ms"]["mean"], rel=0.5)


def test_which_model() -> None:
    with serving("a", "b") as server, serving() as one:
        assert find_model(parse_url(server.url), "b").name == "b"
        assert find_model(parse_url(one.url + "/v1"), None).name == "good"
        with pytest.raises(UsageError, match="a, b"):
            find_model(parse_url(server.url), None)
        with pytest.raises(ModelMissing, match="does not serve c; it serves a, b"):
            find_model(parse_url(server.url), "c")


@pytest.mark.parametrize("url", ["ftp://x", "http://:80", "http://x:port"])
def test_a_bad_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError):
        parse_url(url)


def test_nothing_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(NotReady, match="nothing listens"):
            find_model(parse_url(f"http://127.0.0.1:{unused.getsockname()[1]}"), None)


def bench(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dynamo_cli", "bench", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_command_prints_json_alone() -> None:
    with serving() as server:
        done = bench("--url", server.url, "-n", "4", "-c", "2", "--json", "--pid", f"me={os.getpid()}")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)["points"][0]["report"]
    assert report["ok"] == 4
    assert report["processes"]["me"]["rss_mb"] > 1
    assert report["client_limited"] in (True, False)


def test_the_command_fails_when_requests_fail() -> None:
    with serving("http-500") as server:
        done = bench("--url", server.url, "-n", "2")
    assert done.returncode == 1
    assert "failed: 2 x http 500" in done.stdout
    assert "first error: not now" in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "line"),
    [
        (("--url", "http://127.0.0.1:1"), 3, "nothing listens on http://127.0.0.1:1"),
        (("--pid", "x=notanumber"), 2, "expected NAME=PID"),
        (("--url", "gopher://x"), 2, "expected http://HOST:PORT"),
    ],
)
def test_errors_are_one_line(args: tuple[str, ...], code: int, line: str) -> None:
    done = bench(*args)
    assert done.returncode == code
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_no_openai_server_is_one_line() -> None:
    with serving() as server:
        done = bench("--url", server.url + "/elsewhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"dynamo: {server.url}/elsewhere/v1/models answers 404\n"


def test_ctrl_c_is_130_and_quiet() -> None:
    with serving("slow") as server:
        command = [sys.executable, "-m", "dynamo_cli", "bench", "--url", server.url, "-n", "100000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            while not server.bodies:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_an_unknown_model_is_5() -> None:
    with serving() as server:
        assert bench("--url", server.url, "--model", "nope").returncode == 5

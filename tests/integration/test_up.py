"""up, status, logs and down with the repository's own topologies and real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from dynamo_cli.hub.catalogue import DEFAULT_MODEL
from dynamo_cli.hub.resolve import resolve_model
from dynamo_cli.supervisor.processes import entry
from tests.integration.dynamo import EXECUTABLE, TOPOLOGIES, Dynamo, ask, kill
from tests.supervisor.harness import STUBBORN, gone, marked, until

pytestmark = pytest.mark.slow

ECHO = str(TOPOLOGIES / "echo.toml")
MOCK = str(TOPOLOGIES / "mock.toml")
PORT_0 = ("--set", "frontend.port=0")
NO_DELAY = ("--set", "workers.decode.options.speedup_ratio=0")

CUSTOM = f"""
name = "hygiene"
[frontend]
port = 0
[workers.decode]
engine = "custom"
[workers.decode.options]
command = ["sh", "-c", '''{STUBBORN}''', "{sys.executable}"]
"""


def test_detached_echo_from_up_to_down(dynamo: Dynamo, clean_environment: Path) -> None:
    started = dynamo.run("up", ECHO, "--json", *PORT_0, "-d")
    assert started.code == 0
    url = json.loads(started.out)["url"]
    answer = ask(url, "echo", "Say this, please.", max_tokens=None).json()
    assert answer["choices"][0]["message"]["content"] == "Say this, please."
    shown = dynamo.run("status")
    assert shown.code == 0
    assert shown.out.splitlines()[0].startswith(f"echo  READY  {url}")
    _, _, table = shown.out.partition("\nNAME ")
    assert [line.split()[:4] for line in table.splitlines()[1:]] == [
        ["frontend-0", "frontend", "READY", "yes"],
        ["decode-0", "echo", "READY", "yes"],
    ]
    assert "decode-0 is READY" in dynamo.run("logs", "supervisor").out
    assert dynamo.run("down").out == "echo is down\n"
    assert not marked(clean_environment)
    assert "decode-0 is STOPPED" in dynamo.run("logs", "-n", "9").out
    with pytest.raises(httpx.ConnectError):
        ask(url, "echo")


def test_the_foreground_serves_and_ctrl_c_ends_it(dynamo: Dynamo, clean_environment: Path) -> None:
    with dynamo.foreground(ECHO, *PORT_0) as process:
        status = dynamo.until("READY")
        assert ask(status["url"], "echo").status_code == 200
        for service in status["services"]:
            found = entry(service["pid"])
            assert found and found.parent == process.pid
        until(lambda: "ready at http://" in dynamo.out)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 130
        assert not marked(clean_environment)
    assert "decode-0   | " in dynamo.out


def test_down_ends_a_foreground_deployment_with_0(dynamo: Dynamo) -> None:
    with dynamo.foreground(ECHO, *PORT_0, "--json") as process:
        dynamo.until("READY")
        assert dynamo.run("down").code == 0
        assert process.wait(5) == 0
    assert [json.loads(line)["state"] for line in dynamo.out.splitlines()] == [
        "STARTING",
        "READY",
        "STOPPING",
        "STOPPED",
    ]


@pytest.mark.alone
def test_a_killed_mock_worker_under_load(dynamo: Dynamo) -> None:
    assert dynamo.run("up", "-d", MOCK, *PORT_0, *NO_DELAY).code == 0
    status = dynamo.status()
    url, model = status["url"], status["models"][0]
    stop, codes = threading.Event(), []

    def load() -> None:
        with httpx.Client(timeout=20.0) as client:
            while not stop.is_set():
                body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
                codes.append(client.post(f"{url}/v1/chat/completions", json=body).status_code)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(codes) > 50)
        kill(dynamo.pid("decode-1"))
        killed_at = time.monotonic()
        status = until(lambda: s if (s := dynamo.until("READY"))["services"][2]["restarts"] else None, 10.0)
        assert time.monotonic() - killed_at <= 5.0
        ready_from = len(codes)
        until(lambda: len(codes) > ready_from + 100)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(codes[ready_from:]) == {200}
    worker = next(s for s in status["services"] if s["name"] == "decode-1")
    assert (worker["restarts"], worker["last_exit"]) == (1, "killed by SIGKILL")
    assert "last exit: killed by SIGKILL" in dynamo.run("status").out


def test_kill_9_of_the_foreground_supervisor_leaves_nothing(dynamo: Dynamo, clean_environment: Path) -> None:
    with dynamo.foreground(dynamo.write(CUSTOM)) as process:
        dynamo.until("READY")
        until(lambda: len(marked(clean_environment)) == 3)
        process.kill()
        gone(clean_environment, 2.0)
    result = dynamo.run("status", "hygiene")
    assert result.code == 3 and "supervisor died" in result.out and "nothing is left" in result.out


def test_kill_9_of_a_worker_ends_its_stubborn_grandchild(dynamo: Dynamo, clean_environment: Path) -> None:
    with dynamo.foreground(dynamo.write(CUSTOM)):
        dynamo.until("READY")
        before = until(lambda: set(found) if len(found := marked(clean_environment)) == 3 else None) or set()
        worker = before - {dynamo.pid("frontend-0")}
        kill(dynamo.pid("decode-0"))
        until(lambda: not worker & set(marked(clean_environment)), 2.0)
        until(lambda: len(marked(clean_environment)) == 3, 5.0)


def test_a_detached_start_that_fails_says_why_last(dynamo: Dynamo, clean_environment: Path) -> None:
    file = dynamo.write(
        """
name = "broken"
[frontend]
port = 0
[workers.decode]
engine = "custom"
restart = "no"
[workers.decode.options]
command = ["sh", "-c", "echo the disk is full >&2; exit 4"]
"""
    )
    result = dynamo.run("up", "-d", file)
    assert result.code == 4
    assert result.err.strip().splitlines()[-1] == "decode-0 | the disk is full"
    assert not marked(clean_environment)


def test_logs_follow_until_down(dynamo: Dynamo) -> None:
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    with subprocess.Popen([EXECUTABLE, "logs", "-f"], stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        first = follower.stdout.readline()
        assert dynamo.run("down").code == 0
        rest, _ = follower.communicate(timeout=10)
    assert " | " in first
    assert any(line.startswith("supervisor | ") and "decode-0 is STOPPED" in line for line in rest.splitlines())


def test_state_stays_in_its_home(dynamo: Dynamo, clean_environment: Path, tmp_path: Path) -> None:
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    root = clean_environment / "echo"
    assert {"plan.json", "state.json", "logs", "discovery", "token", "run", "lock"} == set(os.listdir(root))
    assert dynamo.run("down").code == 0
    assert os.listdir(tmp_path) == []
    assert not (root / "run").exists()


def test_a_model_file_that_is_cut_short_is_explained(dynamo: Dynamo, tmp_path: Path) -> None:
    whole = resolve_model(DEFAULT_MODEL).path
    short = tmp_path / "short.gguf"
    with whole.open("rb") as file:
        short.write_bytes(file.read(40_000_000))
    never = ("--set", "workers.decode.restart=no", "--set", "workers.decode.engine=llamacpp")
    result = dynamo.run("up", "-d", str(TOPOLOGIES / "agg.toml"), "--set", f"model={short}", *never, *PORT_0)
    complaint = result.err.splitlines()
    assert result.code == 1
    assert "the model's file is broken or was not fetched to its end: delete it" in result.err
    (evidence,) = [line.removeprefix("dynamo: evidence in ") for line in complaint if "evidence in" in line]
    assert "phase: load" in Path(evidence, "summary.txt").read_text()
    assert "is not within the file bounds" in Path(evidence, "output.log").read_text()

"""The commands people use all day, through the real executable."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.dynamo import EXECUTABLE, TOPOLOGIES, Dynamo, Result, cpu_s_of
from tests.supervisor.harness import until

pytestmark = pytest.mark.slow

PORT_0 = ("--set", "frontend.port=0")
TWO = """
name = "two"
[workers.decode]
engine = "echo"
model = "echo"
[workers.spare]
engine = "echo"
model = "spare"
depends_on = { task = "exited" }
[services.task]
command = "true"
[services.side]
command = "sleep 1000"
"""

LATE = """
name = "late"
[services.late]
command = ["sh", "-c", "trap 'seq 600000; echo the very last; exit' TERM; echo begun; while :; do sleep 0.1; done"]
"""


@pytest.fixture
def two(dynamo: Dynamo) -> Dynamo:
    started = dynamo.run("up", "-d", dynamo.write(TWO), *PORT_0)
    assert started.code == 0, started
    return dynamo


def service(dynamo: Dynamo, name: str) -> dict[str, Any]:
    return next(s for s in dynamo.status()["services"] if s["name"] == name)


def fails(result: Result, code: int, words: str) -> None:
    assert (result.code, result.out) == (code, "")
    assert result.err == f"dynamo: {words}\n"


def test_restart_stop_and_start(two: Dynamo) -> None:
    before = service(two, "decode-0")["pid"]
    told = two.run("restart", "decode").out
    assert told == f"decode-0.b is READY (pid {service(two, 'decode-0.b')['pid']}), in place of decode-0\n"
    assert two.run("restart", "decode-0").out.startswith("decode-0 is READY (pid ")
    assert two.run("restart", "decode", "--now").out == f"decode-0 is READY (pid {service(two, 'decode-0')['pid']})\n"
    assert service(two, "decode-0")["pid"] != before
    assert two.run("stop", "spare", "side").out == "spare-0 is STOPPED\nside is STOPPED\n"
    status = two.run("status")
    assert status.code == 3 and "stopped by hand" in status.out
    assert "spare-0 is READY" in two.run("start", "spare", "side").out
    assert two.run("status").code == 0
    assert two.run("restart", "--no-wait", "side").out == "side: restart asked for\n"
    assert two.run("restart", "task").out == "task is STOPPED\n"
    fails(two.run("stop", "decod"), 2, "two has no service decod; did you mean decode?")
    fails(two.run("start", "-d", "three", "decode"), 3, "deployment three is not running")


def test_scale(two: Dynamo) -> None:
    assert [line.split(" (")[0] for line in two.run("scale", "decode=3", "frontend=2").out.splitlines()] == [
        "frontend-0 is READY",
        "frontend-1 is READY",
        "decode-0 is READY",
        "decode-1 is READY",
        "decode-2 is READY",
    ]
    assert len(two.run("scale", "decode=1").out.splitlines()) == 1
    assert [s["name"] for s in two.status()["services"] if s["pool"] == "decode"] == ["decode-0"]
    assert two.run("scale", "decode=0", "frontend=0").out == "decode has no replica\nfrontend has no replica\n"
    assert two.run("scale", "frontend=1", "decode=1").code == 0
    assert two.status()["services"][0]["name"] == "frontend-0"
    fails(two.run("scale", "decode"), 2, "decode: expected POOL=N, such as decode=4")
    fails(two.run("scale", "decode=x"), 2, "decode=x: expected POOL=N, such as decode=4")
    fails(two.run("scale", "decode=1", "decode=2"), 2, "decode=2: decode is given twice")
    fails(two.run("scale", "decod=2"), 2, "two has no service decod; did you mean decode?")
    refusal = "side is one process; only pools of workers and the frontends can be scaled"
    fails(two.run("scale", "side=2"), 2, refusal)


def test_a_service_that_fails_is_exit_1(two: Dynamo) -> None:
    os.kill(service(two, "decode-0")["pid"], signal.SIGSTOP)
    late = two.run("restart", "decode", "--timeout", "0.2")
    assert late.code == 3 and late.err.startswith("dynamo: not done within 0.2 s: ")


def test_ps_lists_what_runs_and_what_ran(two: Dynamo) -> None:
    assert two.run("up", "-d", str(TOPOLOGIES / "echo.toml"), *PORT_0).code == 0
    listed = json.loads(two.run("ps", "--json").out)
    assert [(row["deployment"], row["state"], row["ready"], row["services"]) for row in listed] == [
        ("echo", "READY", 2, 2),
        ("two", "READY", 5, 5),
    ]
    assert two.run("down", "two").code == 0
    assert [line.split()[:2] for line in two.run("ps").out.splitlines()] == [["NAME", "STATE"], ["echo", "READY"]]
    assert ["two", "STOPPED"] in [line.split()[:2] for line in two.run("ps", "-a").out.splitlines()]
    assert two.run("down").code == 0
    assert two.run("ps").out == "no deployment is running; start one with `dynamo up FILE`\n"


def test_status_costs_little(two: Dynamo) -> None:
    cpu_s = min(cpu_s_of(lambda: two.run("status")) for _ in range(3))
    assert cpu_s < 0.6, "the budget is 0.3 CPU-s; twice that is a forgotten lazy import"


def test_status_waits(dynamo: Dynamo) -> None:
    file = dynamo.write(TWO)
    fails(
        dynamo.run("status", "--wait", "ready", "--timeout", "0.2"),
        3,
        "not READY within 0.2 s: no deployment is running; start one with `dynamo up FILE`",
    )
    fails(dynamo.run("status", "--wait", "soon"), 2, "--wait soon: expected one of ready, degraded, failed, stopped")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(dynamo.run, "status", "two", "--wait", "ready")
        assert dynamo.run("up", "-d", file, *PORT_0).code == 0
        assert waiting.result().code == 0
        ending = pool.submit(dynamo.run, "status", "--wait", "stopped")
        assert dynamo.run("down").code == 0
        assert ending.result().code == 0


def test_watch_in_a_pipe_and_its_end(two: Dynamo) -> None:
    with subprocess.Popen(
        [EXECUTABLE, "status", "--watch", "--json", "--interval", "0.1"], stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout
        assert [json.loads(watching.stdout.readline())["state"] for _ in range(3)] == ["READY"] * 3
        assert two.run("down").code == 0
        watching.stdout.read()
    assert watching.returncode == 0


def test_events_are_followed_to_the_end(two: Dynamo) -> None:
    with subprocess.Popen([EXECUTABLE, "events", "--json"], stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout
        first = threading.Event()
        seen: list[dict[str, Any]] = []

        def read() -> None:
            for line in following.stdout or ():
                seen.append(json.loads(line))
                first.set()

        reader = threading.Thread(target=read)
        reader.start()
        until(lambda: two.run("restart", "side").code == 0 and first.is_set())
        assert two.run("down").code == 0
        reader.join(20)
    assert following.returncode == 0
    assert {"time", "service", "state", "message"} == seen[0].keys()
    assert ("side", "READY") in {(event["service"], event["state"]) for event in seen}


def test_attach_shows_and_leaves_it_running(two: Dynamo) -> None:
    primary, secondary = pty.openpty()
    with subprocess.Popen(
        [EXECUTABLE, "attach", "--no-tui"], stdin=secondary, stdout=secondary, stderr=secondary, start_new_session=True
    ) as attached:
        os.close(secondary)
        shown = b""
        try:
            while b"decode-0" not in shown:
                shown += os.read(primary, 4096)
            attached.send_signal(signal.SIGINT)
            with suppress(OSError):  # EIO: it has closed the terminal
                while more := os.read(primary, 4096):
                    shown += more
        except BaseException:
            attached.kill()  # or it would write for ever to whom nobody listens
            raise
        finally:
            os.close(primary)
    assert b"goes on" in shown and attached.returncode == 0 and two.status()["state"] == "READY"


def test_up_of_a_part(dynamo: Dynamo) -> None:
    file = dynamo.write(TWO)
    fails(dynamo.run("up", file, "decod"), 2, f"{file} has no pool or service decod; did you mean decode")
    assert dynamo.run("up", "-d", file, "spare", *PORT_0).code == 0
    assert [s["name"] for s in dynamo.status()["services"]] == ["frontend-0", "task", "spare-0"]
    assert dynamo.run("down").code == 0
    assert dynamo.run("up", "-d", file, "spare", "--no-deps", *PORT_0).code == 0
    assert [s["name"] for s in dynamo.status()["services"]] == ["frontend-0", "spare-0"]


def test_deployments_that_start_at_the_same_moment_share_no_port(dynamo: Dynamo, clean_environment: Path) -> None:
    ports = ", ".join(f'"p{i}"' for i in range(40))
    text = f'[services.many]\ncommand = "sleep 1000"\nports = [{ports}]\n'
    files = [dynamo.write(text, f"d{i}.toml") for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        started = list(pool.map(lambda file: dynamo.run("up", "-d", file, *PORT_0), files))
    assert [result.code for result in started] == [0, 0, 0, 0], started
    plans = [json.loads((clean_environment / f"d{i}" / "plan.json").read_text()) for i in range(4)]
    given = [port for plan in plans for process in plan["processes"] for port in process["ports"].values()]
    assert len(given) == len(set(given)) == 160


def test_logs_are_filtered(two: Dynamo) -> None:
    everything = two.run("logs", "--json").out.splitlines()
    assert {json.loads(line)["service"] for line in everything} >= {"frontend-0", "decode-0", "supervisor"}
    times = [json.loads(line)["time"] for line in everything]
    assert times == sorted(times)
    lines = two.run("logs", "decode", "--grep", "serving").out.splitlines()
    assert len(lines) == 1 and lines[0].startswith("decode-0 | ")
    assert two.run("logs", "--since", "2099-01-01").out == ""
    assert two.run("logs", "--level", "error").out == ""
    assert len(two.run("logs", "supervisor", "-n", "2", "-t").out.splitlines()) == 2
    fails(two.run("logs", "--since", "soon"), 2, "--since soon: expected 5m, 2h30m, 14:30 or 2026-01-31T14:30:00Z")
    fails(two.run("logs", "--level", "loud"), 2, two.run("logs", "--level", "loud").err[len("dynamo: ") : -1])


@pytest.mark.parametrize("command", [("logs", "-f", "supervisor"), ("events",)])
def test_who_follows_ends_with_the_reader_though_nothing_more_comes(two: Dynamo, command: tuple[str, ...]) -> None:
    with subprocess.Popen([EXECUTABLE, *command], stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout
        if "logs" in command:
            following.stdout.readline()
        following.stdout.close()
        assert following.wait(10) == 141


def test_logs_are_followed_to_the_end(two: Dynamo) -> None:
    with subprocess.Popen([EXECUTABLE, "logs", "-f", "supervisor"], stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout
        assert "supervisor | " in following.stdout.readline()
        assert two.run("down").code == 0
        assert "two is STOPPED" in following.stdout.read()
    assert following.returncode == 0


def test_what_is_written_at_the_very_end_is_shown_however_much_it_is(dynamo: Dynamo, tmp_path: Path) -> None:
    with dynamo.foreground(dynamo.write(LATE), *PORT_0) as up, ExitStack() as open_ones:
        dynamo.until("READY")
        shown = {"logs": tmp_path / "logs", "attach": tmp_path / "attach"}
        commands = (("logs", "-f", "late"), ("attach", "late"))
        files = [open_ones.enter_context(shown[command[0]].open("w")) for command in commands]
        followers = [
            open_ones.enter_context(subprocess.Popen([EXECUTABLE, *command], stdout=file, stdin=subprocess.DEVNULL))
            for command, file in zip(commands, files, strict=True)
        ]
        until(lambda: all(path.stat().st_size for path in shown.values()), 10.0, "both to follow")
        assert dynamo.run("down").code == 0
        assert [process.wait(30) for process in (*followers, up)] == [0, 0, 0]
    ends = {name: path.read_text()[-2000:] for name, path in shown.items()} | {"up": dynamo.out[-2000:]}
    assert [name for name, end in ends.items() if "the very last" not in end] == []

"""A detached deployment with real components whose supervisor is killed: it serves on, and the next command helps."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.deployments import open_deployment
from dynamo_cli.supervisor.processes import command_line, environment, table
from tests.integration.dynamo import EXECUTABLE, TOPOLOGIES, Dynamo, ask, kill
from tests.supervisor.harness import marked, until

pytestmark = pytest.mark.slow

ECHO = str(TOPOLOGIES / "echo.toml")
MOCK = str(TOPOLOGIES / "mock.toml")
PORT_0 = ("--set", "frontend.port=0")
NO_DELAY = ("--set", "workers.decode.options.speedup_ratio=0")
KILLS = int(os.environ.get("DYN_TEST_SUPERVISOR_KILLS", "8"))
"""At how many random moments the supervisor is killed; `make test-kills` does a hundred."""


@contextmanager
def load(url: str, model: str) -> Iterator[list[int | str]]:
    """Requests one after another on four connections, each status or error in the list, until the block ends."""
    stop, seen = threading.Event(), list[int | str]()

    def once(client: httpx.Client) -> int | str:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
        try:
            return client.post(f"{url}/v1/chat/completions", json=body).status_code
        except httpx.HTTPError as error:
            return repr(error)

    def run() -> None:
        with httpx.Client(timeout=20.0) as client:
            while not stop.is_set():
                seen.append(once(client))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def more(seen: list[int | str]) -> None:
    """Some more requests have ended."""
    so_far = len(seen)
    until(lambda: len(seen) > so_far + 50)


def kill_supervisor(name: str) -> None:
    found = open_deployment(name)
    assert found
    kill(found.record.supervisor.pid)
    until(lambda: not (now := open_deployment(name)) or not now.record.supervised)


def test_no_request_fails_while_the_supervisor_dies_and_another_takes_over(dynamo: Dynamo) -> None:
    assert dynamo.run("up", "-d", MOCK, *PORT_0, *NO_DELAY).code == 0
    before = dynamo.status()
    pids = {s["name"]: s["pid"] for s in before["services"]}
    with load(before["url"], before["models"][0]) as seen:
        for command in (("status",), ("up", "-d", MOCK, *PORT_0, *NO_DELAY), ("scale", "decode=3")):
            more(seen)
            kill_supervisor("mock")
            more(seen)
            result = dynamo.run(*command)
            assert result.code == 0 and "another one has taken over" in result.err
        more(seen)
    assert Counter(seen).keys() == {200}
    after = dynamo.until("READY")
    assert after["url"] == before["url"] and len(after["services"]) == 4
    assert pids.items() <= {s["name"]: s["pid"] for s in after["services"]}.items()
    kill(pids["frontend-0"])
    until(lambda: (s := dynamo.until("READY"))["services"][0]["restarts"] == 1 and s)
    assert ask(before["url"], before["models"][0]).status_code == 200
    assert dynamo.run("down").code == 0


@pytest.mark.parametrize(
    ("change", "after"),
    [
        (("restart", "decode"), "decode-0.b"),
        (("apply", ECHO, *PORT_0, "--set", "workers.decode.replicas=2"), "decode-1"),
    ],
)
def test_a_change_is_made_by_the_supervisor_that_takes_over(
    dynamo: Dynamo, change: tuple[str, ...], after: str
) -> None:
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    kill_supervisor("echo")
    result = dynamo.run(*change)
    assert result.code == 0 and "another one has taken over" in result.err, result
    assert after in {service["name"] for service in dynamo.status()["services"]}


def test_the_port_is_bound_again_when_no_frontend_lives(dynamo: Dynamo) -> None:
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    before = dynamo.status()
    kill_supervisor("echo")
    kill(before["services"][0]["pid"])
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        until(lambda: _bound(stranger, int(before["url"].rpartition(":")[2])))
        refused = dynamo.run("up", "-d", ECHO, *PORT_0)
        assert refused.code == 1 and "the public port of deployment echo is taken: port " in refused.err
        assert f"pid {os.getpid()}" in refused.err and "`dynamo down echo`" in refused.err
        shown = dynamo.run("status")
        assert shown.code == 3 and "1 process is left" in shown.out and "is taken" in shown.err
    taken = dynamo.run("up", "-d", ECHO, *PORT_0)
    assert taken.code == 0, taken.err
    after = dynamo.status()
    assert after["url"] == before["url"] and after["services"][1]["pid"] == before["services"][1]["pid"]
    assert after["services"][0]["restarts"] == 1 and ask(after["url"], "echo").status_code == 200


def _bound(listener: socket.socket, port: int) -> bool:
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        return False
    listener.listen()
    return True


def test_a_frontend_that_hangs_is_ended_when_no_other_hands_the_socket_over(dynamo: Dynamo) -> None:
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    before = dynamo.status()
    kill_supervisor("echo")
    os.kill(before["services"][0]["pid"], signal.SIGSTOP)
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    after = dynamo.status()
    assert after["url"] == before["url"] and after["services"][0]["pid"] != before["services"][0]["pid"]


def test_another_topology_is_said_and_the_old_one_serves_on(dynamo: Dynamo) -> None:
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    url = dynamo.status()["url"]
    kill_supervisor("echo")
    result = dynamo.run("up", "-d", ECHO, *PORT_0, "--set", "workers.decode.replicas=2")
    assert result.code == 0 and "echo serves on as it was started, but " in result.err
    assert "`dynamo apply " in result.err and ask(url, "echo").status_code == 200
    assert len(dynamo.status()["services"]) == 2


def test_the_foreground_begins_anew(dynamo: Dynamo, clean_environment: Path) -> None:
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    kill_supervisor("echo")
    before = set(marked(clean_environment))
    with dynamo.foreground(ECHO, *PORT_0):
        until(lambda: not before & set(marked(clean_environment)), 20.0)
        until(lambda: (now := open_deployment("echo")) and not now.record.detached)
        assert not dynamo.until("READY")["detached"]


def test_up_whose_supervisor_is_killed_takes_everything_down(dynamo: Dynamo, clean_environment: Path) -> None:
    slow = ("--set", 'workers.decode.engine="custom"', "--set", 'workers.decode.options.command=["sleep","1000"]')
    with subprocess.Popen(
        [EXECUTABLE, "up", "-d", ECHO, *PORT_0, *slow, "--set", 'workers.decode.options.endpoint="a.b.c"'],
        stderr=subprocess.PIPE,
        text=True,
    ) as up:
        until(lambda: len(marked(clean_environment)) == 2)
        kill(supervisors(clean_environment)[0].pid)
        _, words = up.communicate(timeout=30)
    assert up.returncode == 1 and "the supervisor ended with code -9" in words
    assert not marked(clean_environment)
    assert dynamo.run("status").code == 3


def supervisors(home: Path) -> list[psutil.Process]:
    """The detached supervisors of this home, as they are long before they have written down that they are there."""
    mark, found = f"DYNAMO_HOME={home}".encode(), []
    for entry in table():
        if not entry.zombie and mark in environment(entry.pid).split(b"\0"):
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(entry.pid)
                if "dynamo_cli.supervisor" in command_line(entry.pid):
                    found.append(process)
    return found


class Moments:
    """Kills the supervisor at a moment within a command, and checks that the next one finds a true state."""

    def __init__(self, dynamo: Dynamo, home: Path, chance: random.Random) -> None:
        self._dynamo = dynamo
        self._home = home
        self._chance = chance
        self.told = Counter[str]()

    def during(self, *command: str, lasting_s: float) -> None:
        moment = self._chance.uniform(0.0, lasting_s)
        with subprocess.Popen([EXECUTABLE, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            until(lambda: supervisors(self._home) or process.poll() is not None, 30.0)
            began = time.monotonic()
            until(lambda: time.monotonic() - began >= moment or process.poll() is not None, 30.0)
            killed = supervisors(self._home)
            for supervisor in killed:
                supervisor.kill()
            if alone := self._chance.random() < 0.4:
                process.kill()
            process.communicate(timeout=60)
        whom = ["supervisor"] * bool(killed) + ["command"] * alone
        self.told[f"{command[0]}: killed {' and '.join(whom) or 'nobody'}, exit code {process.returncode}"] += 1

    def check(self, name: str) -> None:
        """The state that is shown is the one that is there; what is neither being stopped nor gone gets READY again."""
        status = self._dynamo.status(name)
        processes = marked(self._home)
        if not status.get("services"):
            assert not processes, f"{status['reason']}: but {processes} run"
            return
        shown: set[int] = {s["pid"] for s in status["services"] if s["pid"]}
        assert shown <= set(processes), f"{status} names {shown - set(processes)}, which do not run"
        if status["state"] not in ("FAILED", "STOPPING"):
            self._dynamo.until("READY", 60.0)

    def check_down(self, name: str) -> None:
        self._dynamo.run("down", name)
        assert not marked(self._home) and not supervisors(self._home)
        paths = DeploymentPaths(name)
        assert not paths.runtime_dir.exists() and not list(paths.root.glob(".*.json.*"))
        found = open_deployment(name)
        assert found is None or (found.record.state == "STOPPED" and not found.running)


@pytest.mark.timeout(120 + 30 * KILLS)
def test_kill_9_of_the_supervisor_at_random_moments(
    dynamo: Dynamo, clean_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("DYN_TEST_SEED", random.randrange(10**6)))
    moments = Moments(dynamo, clean_environment, random.Random(seed))
    up = ("up", "-d", MOCK, *PORT_0, *NO_DELAY)
    try:
        for number in range(KILLS):
            verb = ("up", "scale", "down", "restart")[number % 4]
            if verb == "up":
                moments.during(*up, lasting_s=2.0)
            else:
                assert dynamo.run(*up).code == 0
                order = {"scale": (f"decode={(1, 4)[number // 4 % 2]}",), "restart": ("decode", "frontend"), "down": ()}
                moments.during(verb, *order[verb], lasting_s=1.0 if verb == "down" else 2.0)
            moments.check("mock")
            moments.check_down("mock")
    except BaseException:
        sys.stderr.write(f"DYN_TEST_SEED={seed}\n")
        raise
    with capsys.disabled():
        print("\n" + "\n".join(f"{count:4} {what}" for what, count in sorted(moments.told.items())))

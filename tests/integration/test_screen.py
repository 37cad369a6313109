"""`up` and `attach` in a terminal: who owns what when the screen, its user, its terminal or the supervisor goes."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest

from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.deployments import open_deployment
from tests.integration.dynamo import TOPOLOGIES, Dynamo, ask, kill
from tests.integration.test_adoption import supervisors
from tests.supervisor.harness import STUBBORN, gone, marked, until
from tests.terminal import Terminal

pytestmark = pytest.mark.slow

ECHO = str(TOPOLOGIES / "echo.toml")
PORT_0 = ("--set", "frontend.port=0")
PROGRAM = f"runpy.run_path({str(Path(__file__).with_name('screen.py'))!r}, run_name='__main__')"
KILLS = int(os.environ.get("DYN_TEST_SUPERVISOR_KILLS", "8"))
"""At how many random moments an `up` is killed."""
STARTS_BY_S = 1.5
PROMISED_S = 2.0
"""Within which all of an `up` that died is gone, without the time that its processes take to end."""

STUBBORN_WORKER = f"""
name = "echo"
[frontend]
port = 0
[workers.decode]
engine = "custom"
[workers.decode.options]
command = ["sh", "-c", '''{STUBBORN}''', "{sys.executable}"]
"""
BROKEN = """
name = "broken"
[frontend]
port = 0
[workers.decode]
engine = "custom"
restart = "no"
[workers.decode.options]
command = ["sh", "-c", "echo the disk is full >&2; exit 4"]
"""


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


@contextmanager
def screen(steps: str, *words: str, term: str = "xterm-256color") -> Iterator[Terminal]:
    os.environ["SCREEN"] = steps
    try:
        with Terminal(*words, program=PROGRAM, term=term) as terminal:
            yield terminal
    finally:
        del os.environ["SCREEN"]


def up(steps: str, file: str = ECHO, *words: str) -> AbstractContextManager[Terminal]:
    return screen(steps, "up", file, *PORT_0, *words)


def nothing_left(home: Path, name: str = "echo", within_s: float = PROMISED_S) -> None:
    gone(home, within_s)
    until(lambda: not supervisors(home), within_s, "the end of the supervisor")
    found = open_deployment(name)
    assert found and found.record.state == "STOPPED" and not DeploymentPaths(name).runtime_dir.exists()


def test_stopping_on_the_screen_is_the_end(clean_environment: Path) -> None:
    with up("ready stop") as terminal:
        terminal.wait_for("screen owns=True")
        terminal.wait_for("screen stopped")
        assert "echo is down" in terminal.rest()
        assert terminal.end() == 130
    nothing_left(clean_environment)


def test_down_elsewhere_ends_it_with_0(dynamo: Dynamo, clean_environment: Path) -> None:
    with up("ready watch") as terminal:
        terminal.wait_for("screen READY")
        assert not dynamo.status()["detached"]
        assert dynamo.run("down").code == 0
        terminal.wait_for("screen ended")
        assert terminal.end() == 0
    nothing_left(clean_environment)


def test_left_running_it_goes_on_as_if_detached_from_the_beginning(dynamo: Dynamo, clean_environment: Path) -> None:
    with up("ready leave") as terminal:
        terminal.wait_for("screen left")
        assert "echo goes on; `dynamo attach echo` shows it, `dynamo down echo` stops it" in terminal.rest()
        assert terminal.end() == 0
    status = dynamo.status()
    assert status["detached"] and status["state"] == "READY"
    assert ask(status["url"], "echo").status_code == 200
    kill(supervisors(clean_environment)[0].pid)
    until(lambda: not supervisors(clean_environment))
    taken = dynamo.run("status", "--json")
    assert taken.code == 0 and "another one has taken over" in taken.err
    after = dynamo.until("READY")
    assert [s["pid"] for s in after["services"]] == [s["pid"] for s in status["services"]]
    assert ask(status["url"], "echo").status_code == 200
    assert "detached: goes on without" in dynamo.run("logs", "supervisor").out
    assert dynamo.run("down").code == 0
    nothing_left(clean_environment)


@pytest.mark.parametrize("how", ["killed", "its terminal closed", "terminated"])
def test_when_up_goes_everything_goes(how: str, clean_environment: Path) -> None:
    with up("ready watch") as terminal:
        terminal.wait_for("screen READY")
        assert len(marked(clean_environment)) == 2
        if how == "killed":
            terminal.process.kill()
        elif how == "terminated":
            terminal.process.terminate()
        else:
            terminal.hang_up()
        nothing_left(clean_environment)
        assert terminal.end() in {"killed": (-9,), "terminated": (0,)}.get(how, (-signal.SIGHUP, 128 + signal.SIGHUP))
    log = (DeploymentPaths("echo").logs / "supervisor.log").read_text()
    assert log.index("frontend-0 is STOPPED") < log.index("decode-0 is DRAINING"), "in order"


def test_a_supervisor_that_is_killed_takes_its_processes_along(dynamo: Dynamo, clean_environment: Path) -> None:
    with up("ready watch", dynamo.write(STUBBORN_WORKER)) as terminal:
        terminal.wait_for("screen READY")
        until(lambda: len(marked(clean_environment)) == 3)
        kill(supervisors(clean_environment)[0].pid)
        gone(clean_environment, PROMISED_S)
        terminal.wait_for("the supervisor ended with code -9")
        assert terminal.end() == 1
    nothing_left(clean_environment)


def test_an_interrupt_stops_in_order_and_another_one_at_once(dynamo: Dynamo, clean_environment: Path) -> None:
    deaf = STUBBORN_WORKER.replace(STUBBORN, "trap '' TERM; while :; do sleep 1; done").replace("'''", '"')
    with up("ready watch", dynamo.write(deaf)) as terminal:
        terminal.wait_for("screen READY")
        terminal.type("\x03")
        terminal.wait_for("stopping in order; Ctrl-C again ends it at once")
        until(lambda: dynamo.status()["state"] == "STOPPING")
        terminal.type("\x03")
        assert terminal.end() == 130
    nothing_left(clean_environment)


def test_a_failure_is_explained_below_the_screen(dynamo: Dynamo, clean_environment: Path) -> None:
    with up("watch", dynamo.write(BROKEN)) as terminal:
        told = terminal.rest().splitlines()
        assert terminal.end() == 4
    assert any("dynamo: deployment broken failed: decode-0: exited with code 4" in line for line in told)
    assert told[-1] == "decode-0 | the disk is full"
    nothing_left(clean_environment, "broken")


def test_a_screen_that_fails_leaves_the_terminal_as_it_was_and_nothing_running(clean_environment: Path) -> None:
    with up("ready crash") as terminal:
        before = terminal.settings()
        told = terminal.rest()
        assert terminal.end() == 1
        assert terminal.settings() == before
    file = clean_environment / "echo" / "screen-failure.txt"
    assert f"dynamo: the screen failed: ValueError: no such widget; its traceback is in {file}" in told
    assert "\x1b[?1049l" in told and "Traceback" not in told
    assert 'raise ValueError("no such\\nwidget")' in file.read_text()
    nothing_left(clean_environment)


@pytest.mark.parametrize(("steps", "code"), [("ready detach crash", 1), ("ready detach die", -9)])
def test_what_was_detached_goes_on_whatever_becomes_of_up(dynamo: Dynamo, steps: str, code: int) -> None:
    with up(steps) as terminal:
        terminal.wait_for("screen detached")
        assert terminal.end() == code
    assert dynamo.status()["detached"] and dynamo.run("down").code == 0


def test_detaching_while_it_stops_is_refused(dynamo: Dynamo) -> None:
    deaf = STUBBORN_WORKER.replace(STUBBORN, "trap '' TERM; while :; do sleep 1; done").replace("'''", '"')
    with up("ready watch", dynamo.write(deaf)) as terminal:
        terminal.wait_for("screen READY")
        terminal.process.terminate()
        until(lambda: dynamo.status()["state"] == "STOPPING")
        with pytest.raises(Exception, match="echo is stopping"):
            client_of("echo").detach()
        terminal.process.terminate()
        assert terminal.end() == 0


def client_of(name: str):  # type: ignore[no-untyped-def]
    found = open_deployment(name)
    assert found
    return found.client


def test_what_runs_within_up_cannot_be_detached(dynamo: Dynamo) -> None:
    with dynamo.foreground(ECHO, *PORT_0):
        dynamo.until("READY")
        with pytest.raises(Exception, match="echo runs within its `dynamo up`"):
            client_of("echo").detach()
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    client_of("echo").detach()
    assert dynamo.status()["detached"]


@pytest.mark.timeout(60 + 10 * KILLS)
def test_kill_9_of_up_at_random_moments_leaves_nothing(clean_environment: Path) -> None:
    seed = int(os.environ.get("DYN_TEST_SEED", random.randrange(10**6)))
    chance = random.Random(seed)
    for _ in range(KILLS):
        moment = chance.uniform(0.0, STARTS_BY_S)
        with up("watch") as terminal:
            began = time.monotonic()
            until(lambda began=began, moment=moment: time.monotonic() - began >= moment)  # type: ignore[misc]
            terminal.process.kill()
            terminal.end()
            until(lambda: not (marked(clean_environment) or supervisors(clean_environment)), 5.0, f"seed {seed}: end")
        found = open_deployment("echo")
        assert found is None or not found.running, f"DYN_TEST_SEED={seed}"


@pytest.mark.timeout(60 + 10 * KILLS)
def test_detaching_and_dying_at_the_same_moment_leaves_all_or_nothing(dynamo: Dynamo, clean_environment: Path) -> None:
    seed = int(os.environ.get("DYN_TEST_SEED", random.randrange(10**6)))
    chance = random.Random(seed)
    for _ in range(max(3, KILLS // 2)):
        with up("ready leave") as terminal:
            terminal.wait_for("screen READY")
            time.sleep(chance.uniform(0.0, 0.01))
            terminal.process.kill()
            terminal.end()
        until(lambda: settled(clean_environment), 5.0, f"seed {seed}: all or nothing")
        if marked(clean_environment):
            assert dynamo.status()["state"] == "READY", f"DYN_TEST_SEED={seed}"
            assert dynamo.run("down").code == 0
        nothing_left(clean_environment)


def settled(home: Path) -> bool:
    """Detached for good, or gone for good."""
    found = open_deployment("echo")
    if found and found.record.detached:
        return True
    return not marked(home) and not supervisors(home)


@pytest.mark.parametrize(
    ("words", "environ", "term"),
    [
        (("--no-tui",), {}, "xterm"),
        ((), {"DYN_NO_TUI": "1"}, "xterm"),
        ((), {"CI": "true"}, "xterm"),
        ((), {}, "dumb"),
    ],
    ids=["--no-tui", "DYN_NO_TUI", "CI", "dumb"],
)
def test_lines_where_no_screen_is_wanted(
    words: tuple[str, ...], environ: dict[str, str], term: str, monkeypatch: pytest.MonkeyPatch, clean_environment: Path
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with screen("watch", "up", ECHO, *PORT_0, *words, term=term) as terminal:
        assert "screen owns" not in terminal.wait_for("ready at http://")
        assert psutil.Process(terminal.process.pid).children(), "the supervisor runs within it"
        terminal.type("\x03")
        terminal.rest()
        assert terminal.end() == 130
    nothing_left(clean_environment)


def test_without_textual_there_are_lines_and_a_word(clean_environment: Path) -> None:
    with up("missing") as terminal:
        told = terminal.wait_for("ready at http://")
        assert "dynamo: lines instead of a screen, as " in told and "`pip install textual` helps" in told
        terminal.type("\x03")
        terminal.rest()
        assert terminal.end() == 130


def test_attach_owns_nothing(dynamo: Dynamo, clean_environment: Path) -> None:
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    with screen("ready watch", "attach") as terminal:
        terminal.wait_for("screen owns=False")
        terminal.wait_for("screen READY")
        terminal.type("\x03")
        terminal.wait_for("echo goes on; `dynamo down echo` stops it")
        assert terminal.end() == 0
    with screen("ready crash", "attach") as terminal:
        terminal.wait_for("dynamo: the screen failed: ValueError: no such widget")
        assert terminal.end() == 1
    assert dynamo.status()["state"] == "READY"
    with screen("ready stop", "attach") as terminal:
        terminal.wait_for("echo is down")
        assert terminal.end() == 0
    nothing_left(clean_environment)

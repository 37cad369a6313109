from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_cli.supervisor import guard
from dynamo_cli.supervisor.processes import ProcessId, alive, carries, command_line, find, identify, send
from dynamo_cli.supervisor.sweep import marks, sweep
from tests.supervisor.harness import STUBBORN, gone, marked, until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"], env={"DYNAMO_DEPLOYMENT_ID": "abc", "DYNAMO_SERVICE": "x-0"}) as process:
        until(lambda: carries(process.pid, marks("abc")))
        yield process
        process.kill()


def identity(process: subprocess.Popen[bytes]) -> ProcessId:
    found = identify(process.pid)
    assert found
    return found


def stubborn(home: Path, service: str = "x-0") -> subprocess.Popen[bytes]:
    """A process of deployment `abc` and its stubborn child, both running."""
    env = {**os.environ, "DYNAMO_DEPLOYMENT_ID": "abc", "DYNAMO_SERVICE": service}
    process = subprocess.Popen(["sh", "-c", STUBBORN, sys.executable], env=env, start_new_session=True)
    until(lambda: len(marked(home)) >= 2)
    return process


def test_marks_are_whole_variables(sleeper: subprocess.Popen[bytes]) -> None:
    assert carries(sleeper.pid, marks("abc", "x-0"))
    assert not carries(sleeper.pid, marks("ab"))
    assert not carries(sleeper.pid, marks("abc", "x-1"))


def test_a_reused_pid_is_not_the_old_process(sleeper: subprocess.Popen[bytes]) -> None:
    real = identity(sleeper)
    reused = ProcessId(real.pid, real.start - 1)
    assert alive(real) and not alive(reused)
    send(reused, signal.SIGKILL)
    assert not find([reused], [b"NO=mark"])
    assert alive(real)
    send(real, signal.SIGKILL)
    assert sleeper.wait(2) == -signal.SIGKILL


def test_a_zombie_is_not_alive_and_has_no_command_line(sleeper: subprocess.Popen[bytes]) -> None:
    real = identity(sleeper)
    assert command_line(sleeper.pid) == ["sleep", "1000"]
    sleeper.kill()
    until(lambda: not alive(real))
    assert command_line(sleeper.pid) == []
    sleeper.wait()
    assert command_line(sleeper.pid) == []


def test_a_command_line_has_its_empty_words() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", "", "a b", ""], stdin=subprocess.PIPE) as process:
        until(lambda: command_line(process.pid)[1:] == ["-c", "input()", "", "a b", ""])
        process.kill()


async def test_sweep_ends_what_left_the_session_and_ignores_term(clean_environment: Path) -> None:
    with stubborn(clean_environment) as process, stubborn(clean_environment, "y-0") as other:
        await sweep([identity(process)], marks("abc", "x-0"))
        assert process.wait(2) == -signal.SIGKILL
        assert other.poll() is None and len(marked(clean_environment)) >= 2
        await sweep([], marks("abc"))
        assert not marked(clean_environment)


async def test_sweep_ends_a_group_that_dropped_our_marks(clean_environment: Path) -> None:
    with subprocess.Popen(
        ["sh", "-c", "env -i sleep 1000 & exec env -i sleep 1000"], start_new_session=True
    ) as process:
        leader = identity(process)
        until(lambda: len(find([leader], [b"NO=mark"])) == 2)
        assert await sweep([leader], [b"NO=mark"]) == 2


@pytest.mark.parametrize("word", ["", "done\n"])
def test_the_guard_acts_only_when_the_pipe_ends_without_a_word(clean_environment: Path, word: str) -> None:
    with stubborn(clean_environment) as process:
        command = [sys.executable, "-S", "-E", guard.__file__, "abc"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, env={}) as watcher:
            assert watcher.stdin
            watcher.stdin.write(f"+ {process.pid} {identity(process).start}\n{word}".encode())
            watcher.stdin.close()
            assert watcher.wait(5) == 0
        assert (process.poll() is None) == bool(word)
        process.kill()
        send_all(clean_environment)


def send_all(home: Path) -> None:
    for pid in marked(home):
        os.kill(pid, signal.SIGKILL)
    gone(home, 2.0)

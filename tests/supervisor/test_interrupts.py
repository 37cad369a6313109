"""Ctrl-C at the moments at which an `up` has begun something and does not know it yet."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import cast

import pytest

from dynamo_cli.cli import main, up
from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.launch import claim as claims
from dynamo_cli.supervisor.launch import daemon, foreground
from dynamo_cli.supervisor.launch.claim import Claim, claim
from dynamo_cli.supervisor.launch.detached import run_detached
from dynamo_cli.supervisor.launch.foreground import run_foreground
from dynamo_cli.supervisor.launch.interrupts import Interrupted, Interrupts
from dynamo_cli.supervisor.launch.outcome import Outcome
from dynamo_cli.supervisor.processes import identify
from dynamo_cli.supervisor.record import is_locked, read_record, write
from tests.supervisor import harness
from tests.supervisor.plans import frontend, plan, worker


def interrupt(signum: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), signum)


def state(name: str) -> str:
    record = read_record(DeploymentPaths(name))
    assert record
    return record.state


def test_a_signal_counts_once_it_is_let_in() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts() as interrupts:
        interrupt(signal.SIGTERM)
        assert interrupts.noted == signal.SIGTERM
        with pytest.raises(Interrupted) as raised:
            interrupts.let_in()
        assert raised.value.exit_code == 143
        with pytest.raises(Interrupted):
            interrupt()
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            interrupts.let_in()
            interrupt()
    finally:
        signal.signal(signal.SIGINT, before)
    assert interrupts.noted is None


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_while_the_supervisor_is_started_ends_it(
    signum: int, code: int, monkeypatch: pytest.MonkeyPatch, clean_environment: Path
) -> None:
    real, started = daemon.start, list[subprocess.Popen[bytes]]()

    def start(held: Claim) -> subprocess.Popen[bytes]:
        started.append(real(held))
        interrupt(signum)
        return started[0]

    monkeypatch.setattr(daemon, "start", start)
    assert run_detached(claim(plan(frontend(), worker()), True), 20.0).exit_code == code
    assert started[0].poll() is not None and not harness.marked(clean_environment)
    assert state("test") == "STOPPED"


def test_an_interrupt_before_the_supervisor_hears_any_stops_in_order(
    monkeypatch: pytest.MonkeyPatch, clean_environment: Path
) -> None:
    monkeypatch.setattr(foreground, "_log_to", lambda _: interrupt())
    assert run_foreground(claim(plan(frontend(), worker()), False)).exit_code == 130
    assert state("test") == "STOPPED" and not harness.marked(clean_environment)


@pytest.fixture
def echo(tmp_path: Path) -> str:
    file = tmp_path / "echo.toml"
    file.write_text('name = "echo"\nmodel = "echo"\n[frontend]\nport = 0\n[workers.decode]\nengine = "echo"\n')
    return str(file)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_before_anything_runs_leaves_no_deployment_without_supervisor(
    signum: int, code: int, monkeypatch: pytest.MonkeyPatch, echo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(held: Claim, **_: object) -> None:
        held.release()
        interrupt(signum)

    monkeypatch.setattr(up, "_run", interrupted)
    assert main.run(["up", echo]) == code
    assert state("echo") == "STOPPED"
    assert main.run(["status", "echo"]) == 3
    assert capsys.readouterr().err == "dynamo: deployment echo is not running\n"


def test_an_interrupt_while_the_name_is_taken_gives_it_back(echo: str) -> None:
    def interrupted(file: Path, value: object) -> None:
        write(file, value)
        if file.name == "state.json":
            monkeypatch.undo()
            interrupt(signal.SIGTERM)

    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(claims, "write", interrupted)
    assert main.run(["up", echo]) == 143
    assert state("echo") == "STOPPED"
    assert not is_locked(DeploymentPaths("echo"))


def test_an_interrupt_once_it_is_ready_comes_too_late(
    monkeypatch: pytest.MonkeyPatch, echo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def ready(held: Claim, **_: object) -> Outcome:
        held.release()
        return Outcome(0, cast(DeploymentStatus, "ready"))

    def interrupted(outcome: Outcome, as_json: bool) -> None:
        interrupt()
        print(outcome.status)

    monkeypatch.setattr(up, "_run_detached", ready)
    monkeypatch.setattr(up, "_print", interrupted)
    assert main.run(["up", "-d", echo]) == 0
    assert capsys.readouterr().out == "ready\n"


def test_what_runs_is_not_written_off() -> None:
    held = claim(plan(frontend(), worker()), False)
    try:
        us = identify(os.getpid())
        assert us
        held.assignment.record.processes["decode-0"] = us
        write(held.assignment.paths.state, held.assignment.record)
        held.withdraw()
        assert state("test") == "STARTING"
    finally:
        held.release()


def test_up_under_nohup_survives_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with harness.foreground(plan(frontend(), worker())) as running:
            running.until("READY")
            running.process.send_signal(signal.SIGHUP)
            running.process.send_signal(signal.SIGINT)
            assert running.finish()[0] == 130
    finally:
        signal.signal(signal.SIGHUP, before)

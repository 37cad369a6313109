"""Supervisors killed with SIGKILL, and what the next one makes of the processes they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from dynamo_cli.errors import NotReady
from dynamo_cli.logs.files import log_file
from dynamo_cli.logs.tail import merged
from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.runtime.paths import dynamo_home
from dynamo_cli.supervisor.deployments import known, select, status_of
from dynamo_cli.supervisor.leftovers import take_down
from dynamo_cli.supervisor.processes import alive, command_line, identify
from dynamo_cli.supervisor.record import read_plan, read_record, take_lock, write
from dynamo_cli.supervisor.takeover import take_over
from dynamo_cli.topology.process import Probe, RestartPolicy
from tests.supervisor.harness import (
    STUBBORN,
    Running,
    detached,
    foreground,
    gone,
    kill_supervisor,
    marked,
    run_plan,
    until,
)
from tests.supervisor.plans import QUICK, custom, custom_plan, plan

STUBBORN_SCRIPT = STUBBORN.replace("$0", sys.executable)
SLEEP = "exec sleep 1000"
COUNTING = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.002; done"


def adopted(running: Running) -> None:
    """By `dynamo status`: the deployment has its next supervisor."""
    before = running.paths.deployment
    status = subprocess.run(
        [sys.executable, "-m", "dynamo_cli", "status", before, "--json"], capture_output=True, text=True, timeout=40
    )
    assert "died; another one has taken over" in status.stderr, status.stderr
    assert msgspec.json.decode(status.stdout, type=DeploymentStatus).supervisor_pid == running.status().supervisor_pid


def keeper_of(home: Path) -> psutil.Process:
    def found() -> list[psutil.Process]:
        return [p for p in psutil.process_iter(["cmdline"]) if _keeps(p.info["cmdline"] or [], home)]

    return until(found)[0]


def _keeps(words: list[str], home: Path) -> bool:
    return any("keeper.py" in word for word in words) and any(word.startswith(f"{home}/") for word in words)


def numbers(running: Running) -> list[str]:
    return [line.text for line in merged([("decode-0", log_file(running.paths, "decode-0"))])]


def test_processes_go_on_under_the_next_supervisor_and_are_restarted_by_it() -> None:
    with detached(custom_plan(SLEEP, SLEEP)) as running:
        os.kill(running.pid("decode-1") or 0, signal.SIGKILL)
        until(lambda: (s := running.until("READY").services[1]).restarts == 1 and s.ready)
        before = {s.name: s.pid for s in running.status().services}
        kill_supervisor(running)
        adopted(running)
        status = running.until("READY")
        assert {s.name: s.pid for s in status.services} == before
        assert [(s.restarts, s.last_exit) for s in status.services] == [(0, ""), (1, "killed by SIGKILL")]
        assert status.services[0].uptime_s > 0.3 and status.uptime_s > 0.3
        os.kill(before["decode-1"] or 0, signal.SIGKILL)
        until(lambda: running.status().services[1].restarts == 2)
        service = running.until("READY").services[1]
        assert service.pid != before["decode-1"] and service.exit_code is None
        assert service.last_exit.startswith("ended, how is not known")
        os.kill(service.pid or 0, signal.SIGKILL)
        until(lambda: running.status().services[1].last_exit == "killed by SIGKILL")


def test_a_replacement_that_was_half_done_is_given_up(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    slow = f"test $DYNAMO_SERVICE != decode-0.b || until test -e {flag}; do sleep 0.02; done; echo serves; {SLEEP}"
    says = Probe(kind="log", pattern="serves")
    with detached(plan(custom(slow, probe=says), custom(slow, 1, probe=says), models=())) as running:
        before = {s.name: s.pid for s in running.until("READY").services}
        running.client.act("restart", ["decode-0"], rolling=True)
        half = until(lambda: running.pid("decode-0.b"))
        kill_supervisor(running)
        adopted(running)
        assert {s.name: s.pid for s in running.until("READY").services} == before
        until(lambda: half not in marked(dynamo_home()))
        flag.touch()
        running.client.act("restart", ["decode"], rolling=True)
        until(lambda: [s.name for s in running.status().services] == ["decode-0.b", "decode-1.b"])
        running.until("READY")


def test_when_nothing_is_left_nobody_takes_over() -> None:
    with detached(custom_plan(SLEEP)) as running:
        ended = running.pid("decode-0")
        kill_supervisor(running)
        os.killpg(ended or 0, signal.SIGKILL)
        until(lambda: not select("test").leftovers())
        assert take_over(select("test")).words == ""
        assert status_of(select("test")).reason.endswith("nothing is left of it")
        with foreground(custom_plan(SLEEP)) as another:
            another.until("READY")


def test_what_rested_rests_on_and_what_ended_unwatched_starts_again() -> None:
    once = RestartPolicy(mode="no")
    services = [custom(SLEEP, i, restart=QUICK) for i in range(3)] + [custom("sleep 0.6; exit 4", 3, restart=once)]
    with detached(plan(*services, models=())) as running:
        running.client.act("stop", ["decode-0"])
        until(lambda: [s.state for s in running.status().services] == ["STOPPED", "READY", "READY", "FAILED"])
        unwatched = running.pid("decode-1")
        kill_supervisor(running)
        os.kill(unwatched or 0, signal.SIGKILL)
        adopted(running)
        until(lambda: [s.state for s in running.status().services] == ["STOPPED", "READY", "READY", "FAILED"])
        stopped, again, untouched, failed = running.status().services
        assert (stopped.by_hand, stopped.reason) == (True, "stopped by hand")
        assert (again.restarts, untouched.restarts) == (1, 0)
        assert (failed.exit_code, failed.last_exit) == (4, "exited with code 4")
        running.client.act("start", ["decode-0"])
        until(lambda: running.status().services[0].ready)


def test_a_stop_by_hand_that_had_begun_is_carried_through() -> None:
    deaf = custom("trap '' TERM; while :; do sleep 0.1; done", stop_timeout_s=1.0)
    with detached(plan(deaf, custom(SLEEP, 1), models=())) as running:
        running.client.act("stop", ["decode-0"])
        until(lambda: running.status().services[0].state == "DRAINING")
        kill_supervisor(running)
        adopted(running)
        until(lambda: running.status().services[0].state == "STOPPED")
        assert running.status().services[0].by_hand


def test_a_ready_process_stays_ready_although_its_log_has_moved_on() -> None:
    probe = Probe(kind="log", pattern="I am up", timeout_s=3.0)
    with detached(plan(custom("echo I am up; exec sleep 1000", probe=probe), models=())) as running:
        kill_supervisor(running)
        log_file(running.paths, "decode-0").write_text("")
        adopted(running)
        assert running.until("READY").services[0].restarts == 0


def test_what_was_scaled_away_or_never_written_down_ends(clean_environment: Path) -> None:
    with detached(custom_plan(SLEEP, SLEEP, SLEEP)) as running:
        kill_supervisor(running)
        whole = read_plan(running.paths)
        assert whole
        write(running.paths.plan, msgspec.structs.replace(whole, processes=whole.processes[:2]))
        lost = running.record
        lost.processes.pop("decode-1")
        write(running.paths.state, lost)
        assert len(marked(clean_environment)) == 3
        adopted(running)
        running.until("READY")
        until(lambda: len(marked(clean_environment)) == 2)
        assert "decode-2" not in {s.name for s in running.status().services}


def test_no_line_is_lost_and_none_is_torn(clean_environment: Path) -> None:
    with detached(custom_plan(COUNTING)) as running:
        first = keeper_of(clean_environment)
        kill_supervisor(running)
        adopted(running)
        before = len(numbers(running))
        until(lambda: len(numbers(running)) > before + 100)
        assert keeper_of(clean_environment).pid == first.pid
        first.kill()
        until(lambda: keeper_of(clean_environment).pid != first.pid)
        before = len(numbers(running))
        until(lambda: len(numbers(running)) > before + 100)
        told = numbers(running)
        assert told == [f"line {n + 1}" for n in range(len(told))]
        assert running.status().services[0].restarts == 0


def test_output_is_found_again_when_the_keeper_died_too(clean_environment: Path) -> None:
    told = clean_environment / "told"
    writer = f"echo first; while [ ! -e {told} ]; do sleep 0.05; done; echo second; exec sleep 1000"
    with detached(custom_plan(writer)) as running:
        until(lambda: numbers(running) == ["first"])
        kill_supervisor(running)
        keeper_of(clean_environment).kill()
        adopted(running)
        told.touch()
        until(lambda: numbers(running) == ["first", "second"])
        assert running.status().services[0].restarts == 0


def test_the_next_incarnation_writes_to_the_same_log(clean_environment: Path) -> None:
    with detached(custom_plan("echo I am here; exec sleep 1000")) as running:
        kill_supervisor(running)
        adopted(running)
        os.kill(running.pid("decode-0") or 0, signal.SIGKILL)
        until(lambda: numbers(running).count("I am here") == 2)


def test_environment_and_directory_are_those_of_the_dead_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    monkeypatch.setenv("OF_THE_FIRST", "kept")
    with detached(custom_plan("echo $OF_THE_FIRST in $PWD; exec sleep 1000")) as running:
        kill_supervisor(running)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("OF_THE_FIRST", "changed")
        adopted(running)
        os.kill(running.pid("decode-0") or 0, signal.SIGKILL)
        until(lambda: len(numbers(running)) == 2)
        assert numbers(running) == [f"kept in {tmp_path}/there"] * 2


def test_down_waits_for_who_holds_the_name_and_then_ends_all(clean_environment: Path) -> None:
    with detached(custom_plan(STUBBORN_SCRIPT)) as running:
        kill_supervisor(running)
        holding = "import fcntl, sys, time; f = open(sys.argv[1], 'r+'); fcntl.flock(f, fcntl.LOCK_EX)"
        holding += "; print('held', flush=True); time.sleep(0.5)"
        command = [sys.executable, "-c", holding, str(running.paths.root / "lock")]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert holder.stdout and holder.stdout.readline()
        assert status_of(select("test")).reason == "the supervisor starts"
        take_down(select("test"))
        assert holder.wait(5) == 0
        assert not marked(clean_environment)
        holder.stdout.close()


def test_a_name_that_stays_locked_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynamo_cli.supervisor.leftovers.LOCKED_S", 0.1)
    with detached(custom_plan(SLEEP)) as running:
        kill_supervisor(running)
        lock = take_lock(running.paths)
        assert lock is not None
        with pytest.raises(NotReady, match="deployment test is being started by another command; try again"):
            take_down(select("test"))
        os.close(lock)


def test_down_ends_what_a_dead_supervisor_had_begun_to_stop(clean_environment: Path) -> None:
    deaf = custom("trap '' TERM; while :; do sleep 0.1; done", stop_timeout_s=3.0)
    with detached(plan(deaf, custom(SLEEP, 1), models=())) as running:
        running.client.stop()
        running.until("STOPPING")
        kill_supervisor(running)
        assert take_over(select("test")).words == ""
        assert "supervisor died" in status_of(select("test")).reason
        take_down(select("test"), timeout_s=0.1)
        assert not marked(clean_environment) and not running.paths.runtime_dir.exists()


def test_two_commands_at_once_get_one_supervisor(clean_environment: Path) -> None:
    with detached(custom_plan(SLEEP)) as running:
        kill_supervisor(running)
        command = [sys.executable, "-m", "dynamo_cli", "status", "--json"]
        several = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
        outputs = [process.communicate(timeout=40)[0] for process in several]
        told = {msgspec.json.decode(output, type=DeploymentStatus).supervisor_pid for output in outputs}
        assert told == {running.status().supervisor_pid}


@pytest.mark.parametrize("with_guard", [False, True])
def test_kill_9_of_a_foreground_supervisor_ends_all_within_2_s(clean_environment: Path, with_guard: bool) -> None:
    with foreground(custom_plan(*[SLEEP if with_guard else STUBBORN_SCRIPT] * 3)) as running:
        running.until("READY")
        children = psutil.Process(running.process.pid).children()
        guard = next(p for p in children if any("guard.py" in word for word in command_line(p.pid)))
        guarded = len(marked(clean_environment))
        began = time.monotonic()
        if with_guard:
            guard.kill()
        running.process.kill()
        gone(clean_environment, 2.0)
        assert guarded >= 3 and time.monotonic() - began < 2.0
        until(lambda: not guard.is_running() or guard.status() == psutil.STATUS_ZOMBIE)


def test_a_torn_record_tells_nothing_and_is_made_anew_from_the_processes(clean_environment: Path) -> None:
    with detached(custom_plan(STUBBORN_SCRIPT, SLEEP)) as running:
        whole, pids = running.paths.state.read_bytes(), {s.name: s.pid for s in running.status().services}
        supervisor = running.record.supervisor
        for length in range(len(whole)):
            running.paths.state.write_bytes(whole[:length])
            assert read_record(running.paths) is None
        for length in (0, 1, len(whole) // 2, len(whole) - 1):
            running.paths.state.write_bytes(whole[:length])
            found = select("test")
            assert found.record.supervised and found.record.supervisor == supervisor
            assert status_of(found).state == "READY"
        kill_supervisor_of(supervisor.pid)
        running.paths.state.write_bytes(whole[:-1])
        assert {name: p.pid for name, p in select("test").record.processes.items()} == pids
        assert "supervisor died" in status_of(select(None)).reason
        adopted(running)
        assert {s.name: s.pid for s in running.until("READY").services} == pids
        assert read_record(running.paths)
        kill_supervisor(running)
        running.paths.state.write_bytes(b"")
        running.paths.plan.write_bytes(running.paths.plan.read_bytes()[:-9])
        assert {s.name for s in status_of(select("test")).services} == set(pids)
        assert take_over(select("test")).words == ""
        take_down(select("test"))
        assert not marked(clean_environment)


def kill_supervisor_of(pid: int) -> None:
    supervisor = identify(pid)
    assert supervisor
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(supervisor))


def test_a_torn_record_of_nothing_is_a_stopped_deployment(clean_environment: Path) -> None:
    with foreground(custom_plan(SLEEP)) as running:
        running.until("READY")
    running.paths.state.write_bytes(b"{")
    assert [(d.name, d.record.state) for d in known()] == [("test", "STOPPED")]
    with pytest.raises(NotReady, match="deployment test is not running"):
        select("test")
    with foreground(custom_plan(SLEEP)) as running:
        running.until("READY")


def test_drafts_of_killed_writers_are_removed() -> None:
    with detached(custom_plan(SLEEP)) as running:
        for name in (".state.json.1", ".plan.json.22"):
            (running.paths.root / name).write_bytes(b"{")
        kill_supervisor(running)
        take_down(select("test"))
        assert not list(running.paths.root.glob(".*.json.*"))
        (running.paths.root / ".state.json.1").write_bytes(b"{")
        run_plan(custom_plan(SLEEP), "-d").communicate(timeout=20)
        assert not list(running.paths.root.glob(".*.json.*"))

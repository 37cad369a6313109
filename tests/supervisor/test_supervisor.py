"""Whole deployments of tiny children under a real supervisor process."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import pytest

from dynamo_cli.errors import NotReady, PortBusy, UsageError
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.deployments import open_deployment, select, status_of
from dynamo_cli.supervisor.launch.claim import claim
from dynamo_cli.supervisor.leftovers import take_down
from dynamo_cli.supervisor.processes import entry
from dynamo_cli.supervisor.record import take_lock
from dynamo_cli.topology.process import Dependency, Probe, RestartPolicy
from tests.supervisor.harness import STUBBORN, foreground, gone, json_lines, marked, run_plan, until
from tests.supervisor.plans import FAKE, custom, custom_plan, frontend, plan, worker

STUBBORN_SCRIPT = STUBBORN.replace("$0", sys.executable)


def test_ready_when_the_model_answered_through_the_frontend(clean_environment: Path) -> None:
    with foreground(plan(frontend(), worker(0), worker(1))) as running:
        status = running.until("READY")
        assert [s.name for s in status.services] == ["frontend-0", "decode-0", "decode-1"]
        assert all(s.ready and s.pid and s.state == "READY" for s in status.services)
        for service in status.services:
            found = entry(service.pid or 0)
            assert found and found.parent == running.process.pid and found.group == found.session == service.pid
    assert running.process.returncode == 0


def test_a_killed_worker_comes_back_and_the_status_tells() -> None:
    with foreground(plan(frontend(), worker(0), worker(1))) as running:
        running.until("READY")
        killed = running.pid("decode-1")
        assert killed
        os.kill(killed, signal.SIGKILL)
        running.until("DEGRADED", 2.0)
        status = running.until("READY", 5.0)
        service = status.services[2]
        assert (service.restarts, service.last_exit) == (1, "killed by SIGKILL")
        assert service.reason == "last exit: killed by SIGKILL" and service.pid != killed


def test_a_killed_frontend_comes_back() -> None:
    with foreground(plan(frontend(0), frontend(1), worker())) as running:
        running.until("READY")
        os.kill(running.pid("frontend-0") or 0, signal.SIGKILL)
        running.until("DEGRADED", 2.0)
        assert running.until("READY", 5.0).services[0].restarts == 1


def test_failing_starts_are_retried_with_their_reason(tmp_path: Path) -> None:
    flaky = worker(argv=(*FAKE, "--fail-times", "2", str(tmp_path / "count")))
    with foreground(plan(frontend(), flaky)) as running:
        service = running.until("READY").services[1]
        assert (service.restarts, service.last_exit) == (2, "exited with code 3: start number 2 fails")


def test_foreground_ends_with_the_childs_last_words_when_nothing_can_serve() -> None:
    with foreground(
        plan(frontend(), worker(argv=("sh", "-c", "echo starting; echo no such thing >&2; exit 7")))
    ) as run:
        code, _, err = run.finish()
    assert code == 1
    assert "gave up after 3 restarts within 60 s" in err
    assert err.strip().splitlines()[-1] == "decode-0 | no such thing"


def test_an_exit_code_that_cannot_get_better_fails_at_once() -> None:
    with foreground(plan(frontend(), worker(argv=("sh", "-c", "echo model missing; exit 5")))) as run:
        code, _, err = run.finish()
    assert code == 5
    assert "exited with code 5: model missing; starting it again cannot help" in err


def test_a_command_that_does_not_exist() -> None:
    with foreground(plan(custom("", argv=("/nowhere/tool",)), models=())) as run:
        code, _, err = run.finish()
    assert code == 1 and "decode-0: cannot start /nowhere/tool: No such file or directory" in err


def test_not_ready_in_time_is_a_failure() -> None:
    slow = worker(argv=("sleep", "1000"), probe=Probe(timeout_s=0.3), restart=RestartPolicy(mode="no"))
    with foreground(plan(frontend(), slow)) as run:
        code, _, err = run.finish()
    assert code == 1 and "decode-0: not ready within 0.3 s; restart is off" in err


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signals_stop_in_order(signum: int, code: int, clean_environment: Path) -> None:
    with foreground(plan(frontend(), worker())) as running:
        running.until("READY")
        running.process.send_signal(signum)
        assert running.finish()[0] == code
        assert not marked(clean_environment)
    log = (running.paths.logs / "supervisor.log").read_text()
    assert log.index("frontend-0 is STOPPED") < log.index("decode-0 is DRAINING")
    assert running.record.state == "STOPPED"


def test_term_then_kill_of_the_group_after_the_stop_timeout(clean_environment: Path) -> None:
    deaf = custom("trap '' TERM; sleep 1000 & while :; do wait; done", stop_timeout_s=0.5)
    with foreground(plan(deaf, models=())) as running:
        running.until("READY")
        began = time.monotonic()
        running.client.stop()
        assert running.finish()[0] == 0
        assert 0.4 < time.monotonic() - began < 3.0
        assert not marked(clean_environment)


def test_the_second_interrupt_does_not_wait() -> None:
    deaf = custom("trap '' TERM; while :; do sleep 1; done", stop_timeout_s=60.0)
    with foreground(plan(deaf, models=())) as running:
        running.until("READY")
        running.process.send_signal(signal.SIGINT)
        running.until("STOPPING")
        running.process.send_signal(signal.SIGINT)
        assert running.finish(5.0)[0] == 130


def test_kill_9_of_the_supervisor_leaves_nothing(clean_environment: Path) -> None:
    with foreground(custom_plan(STUBBORN_SCRIPT, STUBBORN_SCRIPT)) as running:
        running.until("READY")
        until(lambda: len(marked(clean_environment)) >= 4)
        running.process.kill()
        gone(clean_environment, 2.0)


def test_kill_9_of_a_worker_ends_its_family_before_the_restart(clean_environment: Path) -> None:
    with foreground(custom_plan(STUBBORN_SCRIPT)) as running:
        running.until("READY")
        before = until(lambda: found if len(found := marked(clean_environment)) == 2 else None)
        os.kill(running.pid("decode-0") or 0, signal.SIGKILL)
        until(lambda: len(set(marked(clean_environment)) - set(before)) == 2, 2.0)
        assert not set(marked(clean_environment)) & set(before)


def test_json_is_all_that_goes_to_stdout() -> None:
    with foreground(plan(frontend(), worker()), "--json") as running:
        running.until("READY")
        until(lambda: "serving" in (running.paths.logs / "decode-0.log").read_text())
        running.process.send_signal(signal.SIGTERM)
        code, out, err = running.finish()
    states = [line["state"] for line in json_lines(out)]
    assert code == 0 and states[0] == "STARTING" and "READY" in states
    assert "decode-0   | serving" in err


def test_events_are_streamed() -> None:
    with foreground(plan(frontend(), worker())) as running:
        running.until("READY")
        seen = []
        events = running.client.events()
        os.kill(running.pid("decode-0") or 0, signal.SIGKILL)
        for event in events:
            seen.append((event.service, event.state))
            if seen[-1] == ("", "READY"):
                break
        events.close()  # type: ignore[attr-defined]
        assert ("decode-0", "READY") in seen


def test_only_the_owner_reaches_the_control_socket() -> None:
    with foreground(custom_plan("exec sleep 1000")) as running:
        running.until("READY")
        assert running.paths.control_socket.stat().st_mode & 0o777 == 0o600
        assert running.paths.runtime_dir.stat().st_mode & 0o777 == 0o700


def test_a_second_up_is_refused_in_one_line() -> None:
    with foreground(plan(frontend(), worker())) as running:
        url = running.until("READY").url
        second = run_plan(plan(frontend(), worker()))
        _, err = second.communicate(timeout=10)
        assert second.returncode == 2
        where = f"pid {running.process.pid}, {url}"
        assert url and err.strip() == (
            f"dynamo: deployment test is already running ({where}); "
            "`dynamo attach test` shows it, `dynamo down test` stops it"
        )


def test_depends_on_waits_for_ready(tmp_path: Path) -> None:
    probe = Probe(kind="log", pattern="up")
    first = custom(f"sleep 0.2; touch {tmp_path}/first; echo up; exec sleep 1000", 0, probe=probe)
    second = custom(f"test -e {tmp_path}/first || exit 9; exec sleep 1000", 1, depends_on=(Dependency("decode-0"),))
    with foreground(plan(first, second, models=())) as running:
        assert [s.restarts for s in running.until("READY").services] == [0, 0]


def test_detached_returns_when_ready_and_is_taken_down(clean_environment: Path) -> None:
    started = run_plan(plan(frontend(), worker()), "-d")
    started.communicate(timeout=20)
    assert started.returncode == 0
    deployment = select(None)
    assert status_of(deployment).state == "READY" and status_of(deployment).detached
    take_down(deployment)
    assert not marked(clean_environment)
    with pytest.raises(NotReady, match="no deployment is running"):
        select(None)
    with pytest.raises(NotReady, match="deployment test is not running"):
        select("test")


def test_detached_that_fails_leaves_nothing_and_ends_with_the_childs_last_line(clean_environment: Path) -> None:
    failing = worker(argv=("sh", "-c", "echo out of memory; exit 4"), restart=RestartPolicy(mode="no"))
    started = run_plan(plan(frontend(), failing), "-d")
    _, err = started.communicate(timeout=20)
    assert started.returncode == 4
    assert err.strip().splitlines()[-1] == "decode-0 | out of memory"
    assert not marked(clean_environment)


def test_an_exit_code_that_counts_as_success_is_not_restarted(clean_environment: Path) -> None:
    done = worker(
        argv=("sh", "-c", "exit 3"), engine="custom", foreign=True, restart=RestartPolicy(success_codes=(0, 3))
    )
    with foreground(plan(frontend(), done)) as running:
        code, _, _ = running.finish()
    log = (running.paths.logs / "supervisor.log").read_text()
    ended = next(line for line in log.splitlines() if "decode-0 is STOPPED" in line)
    assert code == 1 and ended.endswith("exited with code 3; ended by itself")


def test_detached_that_is_late_leaves_nothing(clean_environment: Path) -> None:
    started = run_plan(
        plan(frontend(), worker(argv=("sh", "-c", "echo loading; exec sleep 1000"))), "-d", "--timeout", "1.5"
    )
    _, err = started.communicate(timeout=20)
    assert started.returncode == 3
    assert "not ready within 1.5 s: decode-0: starting" in err
    assert err.strip().splitlines()[-1] == "decode-0 | loading"
    assert not marked(clean_environment)


def test_a_detached_deployment_survives_its_supervisor_and_is_ended_by_down(clean_environment: Path) -> None:
    run_plan(custom_plan(STUBBORN_SCRIPT), "-d").communicate(timeout=20)
    deployment = select("test")
    os.kill(deployment.record.supervisor.pid, signal.SIGKILL)
    until(lambda: not deployment.record.supervised)
    until(lambda: len(marked(clean_environment)) == 2)
    status = status_of(select(None))
    assert status.state == "FAILED" and status.reason.startswith("supervisor died (pid ")
    assert status.services[0].pid and status.services[0].reason == "runs unsupervised"
    take_down(select(None))
    assert not marked(clean_environment)


def test_the_next_up_ends_what_a_dead_supervisor_left(clean_environment: Path) -> None:
    run_plan(custom_plan(STUBBORN_SCRIPT), "-d").communicate(timeout=20)
    deployment = open_deployment("test")
    assert deployment
    os.kill(deployment.record.supervisor.pid, signal.SIGKILL)
    until(lambda: not deployment.record.supervised)
    before = set(marked(clean_environment))
    with foreground(custom_plan("exec sleep 1000")) as running:
        running.until("READY")
        assert not before & set(marked(clean_environment))


def test_a_state_that_cannot_be_written_ends_nothing() -> None:
    with foreground(plan(frontend(), worker())) as running:
        running.until("READY")
        blocked = running.paths.root / f".state.json.{running.process.pid}"
        blocked.mkdir()
        os.kill(running.pid("decode-0") or 0, signal.SIGKILL)
        running.until("DEGRADED", 2.0)
        running.until("READY", 5.0)
        log = (running.paths.logs / "supervisor.log").read_text()
        assert log.count("the deployment goes on") == 1
        blocked.rmdir()
        os.kill(running.pid("decode-0") or 0, signal.SIGKILL)
        until(lambda: running.record.processes["decode-0"].pid == running.pid("decode-0"))
    assert running.process.returncode == 0


def test_another_runtime_directory_than_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with foreground(plan(frontend(), worker())) as running:
        running.until("READY")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "elsewhere"))
        assert status_of(select("test")).state == "READY"
        take_down(select("test"))
        assert running.finish()[0] == 0


def test_a_port_of_another_deployment_names_that() -> None:
    with foreground(plan(frontend(), worker())) as running:
        running.until("READY")
        clash = msgspec.structs.replace(plan(frontend(), name="second"), port=running.record.port)
        with pytest.raises(PortBusy, match="is in use by deployment test; `dynamo down test` stops it"):
            claim(clash, detached=True)


def test_a_start_beside_another_start_is_not_told_of_the_run_before() -> None:
    with foreground(plan(frontend(), worker())) as running:
        running.until("READY")
    paths = DeploymentPaths("test")
    lock = take_lock(paths)
    assert lock is not None
    try:
        with pytest.raises(UsageError, match="deployment test is being started by another `dynamo up`"):
            claim(plan(frontend(), worker()), detached=True)
    finally:
        os.close(lock)

"""A running deployment in people's hands, and every rule of the restart policy once in real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dynamo_cli.errors import NotReady, UsageError
from dynamo_cli.logs.files import log_file
from dynamo_cli.runtime.control import ServiceStatus
from dynamo_cli.supervisor.record import read_plan
from dynamo_cli.topology.ports import free_ports
from dynamo_cli.topology.process import Dependency, Liveness, Probe, ProcessSpec, RestartPolicy
from tests.supervisor.harness import Running, foreground, until
from tests.supervisor.plans import QUICK, custom, frontend, plan, worker

SLEEP = "exec sleep 1000"


def service(name: str, script: str = SLEEP, **fields: Any) -> ProcessSpec:
    fields = {"probe": Probe(kind="started"), "restart": QUICK, "stop_timeout_s": 2.0, **fields}
    return ProcessSpec(
        name=name, kind="service", foreign=True, pool=name, replica=0, argv=("sh", "-c", script), **fields
    )


def of(running: Running, name: str) -> ServiceStatus:
    def asked() -> ServiceStatus | None:
        with contextlib.suppress(NotReady):
            return next(s for s in running.status().services if s.name == name)
        return None

    found = until(asked, what=f"an answer for {name}")
    assert found
    return found


def until_state(running: Running, name: str, state: str, timeout_s: float = 10.0) -> ServiceStatus:
    found = until(lambda: s if (s := of(running, name)).state == state else None, timeout_s, f"{name} {state}")
    assert found
    return found


def test_stop_and_start_by_hand() -> None:
    with foreground(plan(frontend(), worker(0), worker(1))) as running:
        running.until("READY")
        running.client.act("stop", ["decode-1"])
        stopped = until_state(running, "decode-1", "STOPPED")
        assert (stopped.reason, stopped.by_hand, stopped.pid) == ("stopped by hand", True, None)
        assert running.until("DEGRADED").reason == "decode-1: stopped by hand"
        running.client.act("start", ["decode-1"])
        assert [s.restarts for s in running.until("READY").services] == [0, 0, 0]


def test_stopping_all_workers_by_hand_ends_nothing() -> None:
    with foreground(plan(frontend(), worker(0))) as running:
        running.until("READY")
        running.client.act("stop", ["decode"])
        until_state(running, "decode-0", "STOPPED")
        assert running.until("DEGRADED").reason == "decode-0: stopped by hand"
        running.client.act("start", ["decode"])
        running.until("READY")


def test_a_restart_of_a_pool_is_one_by_one() -> None:
    with foreground(plan(frontend(), worker(0), worker(1))) as running:
        before = {s.name: s.pid for s in running.until("READY").services}
        running.client.act("restart", ["decode"])
        until(lambda: of(running, "decode-1").pid != before["decode-1"] and of(running, "decode-1").ready)
        log = log_file(running.paths, "supervisor").read_text()
        assert log.rindex("decode-0 is READY") < log.index("decode-1 is DRAINING")
        after = {s.name: s.pid for s in running.until("READY").services}
        assert before["frontend-0"] == after["frontend-0"]
        assert before["decode-0"] != after["decode-0"] and before["decode-1"] != after["decode-1"]


def test_a_restart_by_hand_does_not_wait_for_the_backoff() -> None:
    slow = RestartPolicy(backoff_s=1000, backoff_max_s=1000)
    with foreground(plan(frontend(), worker(0, restart=slow))) as running:
        running.until("READY")
        os.kill(running.pid("decode-0") or 0, signal.SIGKILL)
        until_state(running, "decode-0", "BACKOFF")
        running.client.act("restart", ["decode-0"])
        running.until("READY")


def test_what_gave_up_can_be_started_again(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    once = RestartPolicy(mode="no")
    with foreground(
        plan(frontend(), worker(0), service("side", f"test -e {flag} && {SLEEP}", restart=once))
    ) as running:
        assert until_state(running, "side", "FAILED").reason == "exited with code 1; restart is off"
        flag.touch()
        running.client.act("start", ["side"])
        running.until("READY")


def test_wrong_names_change_nothing() -> None:
    with foreground(plan(frontend(), worker(0))) as running:
        running.until("READY")
        with pytest.raises(UsageError, match="test has no service decode-O; did you mean decode-0"):
            running.client.act("stop", ["frontend-0", "decode-O"])
        with pytest.raises(UsageError, match="test has no service decod; did you mean decode"):
            running.client.scale({"decod": 2})
        assert running.status().state == "READY"


def test_scale_up_and_down() -> None:
    with foreground(plan(frontend(), worker(0))) as running:
        running.until("READY")
        running.client.scale({"decode": 3, "frontend": 2})
        until(lambda: len(running.status().services) == 5 and running.status().state == "READY", what="five services")
        written = read_plan(running.paths)
        assert written and [p.name for p in written.processes if p.pool == "decode"] == [
            f"decode-{i}" for i in range(3)
        ]
        os.kill(running.pid("decode-2") or 0, signal.SIGKILL)
        until(lambda: of(running, "decode-2").restarts == 1 and of(running, "decode-2").ready)
        running.client.scale({"decode": 1})
        until(lambda: len(running.status().services) == 3, what="three services")
        assert running.until("READY").state == "READY"


def test_dependencies_started_exited_and_log() -> None:
    setup = service("setup", "sleep 0.2; echo done", probe=Probe(kind="started"))
    cache = service("cache", "echo warming; sleep 0.2; echo 'cache is warm'; exec sleep 1000")
    wanted = (Dependency("setup", "exited"), Dependency("cache", "log", "is w.rm"), Dependency("x", "started"))
    user = service("user", depends_on=wanted)
    with foreground(plan(frontend(), worker(0), service("x"), setup, cache, user)) as running:
        status = running.until("READY")
        states = {s.name: (s.state, s.done) for s in status.services}
        assert states["setup"] == ("STOPPED", True) and states["user"] == ("READY", False)


def test_a_failed_dependency_is_named_and_may_still_come(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    setup = service("setup", f"test -e {flag}", restart=RestartPolicy(mode="no"))
    user = service("user", depends_on=(Dependency("setup", "exited"),))
    with foreground(plan(frontend(), worker(0), setup, user)) as running:
        words = until_state(running, "user", "FAILED").reason
        assert words == "needs setup, which is FAILED: exited with code 1; restart is off"
        flag.touch()
        running.client.act("start", ["setup"])
        running.until("READY")


SERVER = (
    "import http.server, os, sys\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        ok = os.path.exists(sys.argv[2])\n"
    "        self.send_response(200 if ok else 503); self.send_header('content-length', '0'); self.end_headers()\n"
    "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()"
)


def test_http_tcp_exec_and_log_probes(tmp_path: Path) -> None:
    port, flag = next(free_ports()), tmp_path / "flag"
    serve = (sys.executable, "-c", SERVER, str(port), str(flag))
    web = msgspec.structs.replace(service("web", probe=Probe(kind="http", url=f"http://127.0.0.1:{port}/")), argv=serve)
    said = Probe(kind="log", pattern="am up$")
    services = [
        web,
        service("door", probe=Probe(kind="tcp", port=port)),
        service("asked", probe=Probe(kind="exec", command=("test", "-e", str(flag)))),
        service("said", f"until test -e {flag}; do sleep 0.02; done; echo I am up; {SLEEP}", probe=said),
    ]
    with foreground(plan(*services, models=())) as running:
        assert until_state(running, "web", "LOADING").reason == f"http://127.0.0.1:{port}/ answers 503"
        until_state(running, "door", "READY")
        assert until_state(running, "asked", "STARTING").reason in ("starting", "the probe test exited with code 1")
        flag.touch()
        running.until("READY")
        flag.unlink()
        assert until_state(running, "web", "DEGRADED").reason.endswith("answers 503")
        assert running.until("DEGRADED").reason.startswith("web: ")


def test_backoff_then_giving_up() -> None:
    with foreground(plan(frontend(), worker(0), service("side", "exit 3"))) as running:
        failed = until_state(running, "side", "FAILED")
        assert failed.restarts == 3 and failed.reason == "exited with code 3; gave up after 3 restarts within 60 s"
        assert running.until("DEGRADED")


def test_a_stable_time_clears_the_record() -> None:
    policy = RestartPolicy(max_restarts=1, backoff_s=0.01, backoff_max_s=0.01, stable_s=0.4)
    with foreground(plan(frontend(), worker(0), service("side", "sleep 0.9; exit 1", restart=policy))) as running:
        until(lambda: of(running, "side").restarts >= 2, 15.0, "a second restart, which one record would not allow")


def test_always_restarts_what_succeeded_and_on_failure_does_not() -> None:
    always = RestartPolicy(mode="always", backoff_s=0.01, backoff_max_s=0.01)
    with foreground(
        plan(frontend(), worker(0), service("loop", "sleep 0.5", restart=always), service("task", "true"))
    ) as running:
        until(lambda: of(running, "loop").restarts >= 1)
        assert until_state(running, "task", "STOPPED").done


def test_a_stopped_process_misses_its_liveness_and_comes_back() -> None:
    liveness = Liveness(interval_s=0.1, timeout_s=0.2, failures=3)
    with foreground(plan(frontend(), worker(0, liveness=liveness))) as running:
        running.until("READY")
        frozen = running.pid("decode-0") or 0
        os.kill(frozen, signal.SIGSTOP)
        until(lambda: of(running, "decode-0").restarts == 1 and of(running, "decode-0").ready, what="a new incarnation")
        back = of(running, "decode-0")
        assert back.pid != frozen and back.last_exit == "no answer to 3 liveness probes"


def test_too_much_memory_is_a_failure() -> None:
    grow = "import time; held = bytearray(120 << 20); print(len(held)); time.sleep(1000)"
    limited = RestartPolicy(mode="no", memory_limit=60 << 20)
    spec = custom(f"{sys.executable} -c '{grow}' & wait", restart=limited)
    with foreground(plan(frontend(), worker(1), spec)) as running:
        reason = until_state(running, "decode-0", "FAILED").reason
        assert reason.startswith("held 1") and "MiB of memory, its limit is 60 MiB; restart is off" in reason


def test_a_task_that_depends_on_nothing_stops_with_the_rest() -> None:
    with foreground(custom_plan_of_services()) as running:
        running.until("READY")
    assert running.process.returncode == 0


def custom_plan_of_services() -> Any:
    return plan(service("a"), service("b", depends_on=(Dependency("a"),)), models=())


def test_a_reader_that_does_not_read_stops_nothing() -> None:
    noisy = service("noisy", "while true; do echo 0123456789012345678901234567890123456789; done")
    with foreground(plan(frontend(), worker(0), noisy)) as running:
        running.until("READY")
        until(lambda: log_file(running.paths, "noisy").stat().st_size > 4 << 20)
        os.kill(running.pid("decode-0") or 0, signal.SIGKILL)
        until(lambda: of(running, "decode-0").restarts == 1 and of(running, "decode-0").ready)
        running.client.stop()
        until(lambda: not running.paths.control_socket.exists(), what="the end of supervision")

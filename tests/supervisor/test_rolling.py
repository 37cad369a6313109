"""Replacing processes one after another, with real supervisors of tiny children."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dynamo_cli.errors import NotReady, UsageError
from dynamo_cli.runtime.control import Change
from dynamo_cli.supervisor import table
from dynamo_cli.supervisor.record import plan_digest, read_plan
from dynamo_cli.supervisor.room import no_room
from dynamo_cli.topology.process import GpuAssignment, Plan, ProcessSpec
from tests.supervisor.harness import Running, foreground, until
from tests.supervisor.plans import FAKE, custom, frontend, plan, worker

GIB = 2**30


def ended(running: Running, change: int) -> Change:
    def found() -> Change | None:
        with contextlib.suppress(NotReady):
            return next((one for one in running.status().changes if one.id == change and one.done), None)
        return None

    change_ = until(found, 20.0, f"the end of change {change}")
    assert change_
    return change_


def pids(running: Running) -> dict[str, int | None]:
    return {service.name: service.pid for service in running.status().services}


def written(running: Running) -> list[str]:
    plan = read_plan(running.paths)
    assert plan
    return [spec.name for spec in plan.processes]


def apply(running: Running, wanted: Plan) -> Change:
    now = read_plan(running.paths)
    assert now
    return ended(running, running.client.apply(msgspec.json.encode(wanted), plan_digest(now)))


def test_the_next_is_ready_before_the_one_before_ends() -> None:
    with foreground(plan(frontend(), worker(0), worker(1))) as running:
        before = {service.name: service.pid for service in running.until("READY").services}
        done = ended(running, running.client.act("restart", ["decode"], rolling=True))
        assert (done.failed, done.replaced) == ("", {"decode-0": "decode-0.b", "decode-1": "decode-1.b"})
        after = pids(running)
        assert list(after) == ["frontend-0", "decode-0.b", "decode-1.b"] == written(running)
        assert after["frontend-0"] == before["frontend-0"]
        log = (running.paths.logs / "supervisor.log").read_text()
        order = ["decode-0.b is READY", "decode-0 is STOPPED", "decode-1.b is READY", "decode-1 is STOPPED"]
        assert sorted(order, key=log.index) == order and "DEGRADED" not in log
        running.client.act("stop", ["decode-0"])
        until(lambda: running.pid("decode-0.b") is None, what="the plain name to mean who took its place")
        running.client.act("start", ["decode-0"])
        running.until("READY")
        again = ended(running, running.client.act("restart", ["decode-1"], rolling=True))
        assert again.replaced == {"decode-1.b": "decode-1"}
        assert {service.generation for service in (read_plan(running.paths) or plan()).processes} == {0, 1, 2}


def test_frontends_too() -> None:
    with foreground(plan(frontend(0), frontend(1), worker(0))) as running:
        running.until("READY")
        done = ended(running, running.client.act("restart", ["frontend"], rolling=True, surge=2))
        assert done.replaced == {"frontend-0": "frontend-0.b", "frontend-1": "frontend-1.b"}
        running.until("READY")


def test_both_are_shown_while_one_takes_over_and_one_order_waits_for_the_other(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    slow = (
        "sh",
        "-c",
        f"test $DYNAMO_SERVICE = decode-0 || until test -e {flag}; do sleep 0.02; done; exec {' '.join(FAKE)}",
    )
    with foreground(plan(frontend(), worker(0, argv=slow))) as running:
        running.until("READY")
        change = running.client.act("restart", ["decode"], rolling=True)
        both = until(lambda: s if len(s := running.status().services) == 3 else None)
        assert both and [(s.name, s.replaces, s.ready) for s in both[1:]] == [
            ("decode-0", "", True),
            ("decode-0.b", "decode-0", False),
        ]
        assert running.status().state == "READY" and written(running)[1:] == ["decode-0", "decode-0.b"]
        for order in (
            lambda: running.client.act("restart", ["decode-0"], rolling=True),
            lambda: running.client.scale({"decode": 2}),
        ):
            with pytest.raises(UsageError, match=r"decode is being changed \(restart of decode\); wait"):
                order()
        shown = table.plain(running.status())
        assert "takes over from decode-0: " in shown and shown.endswith("restart of decode: under way")
        flag.touch()
        assert ended(running, change).replaced == {"decode-0": "decode-0.b"}


def test_a_next_one_that_does_not_get_ready_leaves_the_one_before(tmp_path: Path) -> None:
    once = (
        "sh",
        "-c",
        f"mkdir {tmp_path}/$DYNAMO_SERVICE && test $DYNAMO_SERVICE = decode-0 || exit 3; exec {' '.join(FAKE)}",
    )
    with foreground(plan(frontend(), worker(0, argv=once), worker(1))) as running:
        before = {service.name: service.pid for service in running.until("READY").services}
        done = ended(running, running.client.act("restart", ["decode"], rolling=True))
        assert done.failed == "decode-0.b did not get ready: exited with code 3; decode-0 stays"
        assert pids(running) == before and written(running) == list(before)
        assert running.status().first_failed == ""
        running.until("READY")


def test_who_is_stopped_in_the_middle_is_not_said_to_stay(tmp_path: Path) -> None:
    slow = ("sh", "-c", f"mkdir {tmp_path}/once || sleep 60; exec {' '.join(FAKE)}")
    with foreground(plan(frontend(), worker(0, argv=slow))) as running:
        running.until("READY")
        change = running.client.act("restart", ["decode"], rolling=True)
        until(lambda: len(running.status().services) == 3)
        running.client.act("stop", ["decode"])
        done = ended(running, change)
        assert done.failed.startswith("decode-0.b did not get ready: ")
        assert done.failed.partition("; ")[2] in ("decode-0 is STOPPED", "decode-0 is STOPPING", "decode-0 is DRAINING")


def test_where_there_is_no_room_for_two_one_stops_first() -> None:
    gpu = (GpuAssignment(0, "GPU-a"),)
    with foreground(plan(frontend(), worker(0, gpus=gpu), worker(1))) as running:
        before = {service.name: service.pid for service in running.until("READY").services}
        done = ended(running, running.client.act("restart", ["decode-0"], rolling=True))
        assert done.lines == ["decode-0 stops before the next one starts: it needs GPU 0 for itself"]
        after = pids(running)
        assert done.replaced == {} and after.keys() == before.keys() and after["decode-0"] != before["decode-0"]


def test_another_plan_is_applied() -> None:
    def of_pool(name: str, **fields: Any) -> ProcessSpec:
        return msgspec.structs.replace(worker(0, **fields), name=f"{name}-0", pool=name)

    with foreground(plan(frontend(), worker(0), of_pool("spare"))) as running:
        before = {service.name: service.pid for service in running.until("READY").services}
        wanted = plan(frontend(), worker(0, env={"A": "1"}), worker(1), of_pool("new"))
        done = apply(running, wanted)
        assert (done.failed, done.replaced) == ("", {"decode-0": "decode-0.b"})
        assert list(pids(running)) == ["frontend-0", "decode-0.b", "decode-1", "new-0"] == written(running)
        assert pids(running)["frontend-0"] == before["frontend-0"]
        assert apply(running, wanted).replaced == {}
        with pytest.raises(UsageError, match="test has changed meanwhile"):
            running.client.apply(msgspec.json.encode(wanted), "of another plan")
        with pytest.raises(UsageError, match="the plan cannot be read"):
            running.client.apply(b"{}", "")
        running.client.scale({"new": 2})
        until(lambda: "new-1" in written(running))


def test_stopping_in_the_middle_leaves_nothing() -> None:
    never = ("sh", "-c", f"test $DYNAMO_SERVICE = decode-0 && exec {' '.join(FAKE)}; exec sleep 1000")
    with foreground(plan(frontend(), worker(0, argv=never))) as running:
        running.until("READY")
        running.client.act("restart", ["decode"], rolling=True)
        until(lambda: len(running.status().services) == 3)
        running.process.send_signal(signal.SIGTERM)
        assert running.finish()[0] == 0


def test_a_supervisor_that_is_killed_in_the_middle_leaves_a_true_state() -> None:
    never = ("sh", "-c", f"test $DYNAMO_SERVICE = decode-0 && exec {' '.join(FAKE)}; exec sleep 1000")
    with foreground(plan(frontend(), worker(0, argv=never))) as running:
        running.until("READY")
        running.client.act("restart", ["decode"], rolling=True)
        until(lambda: "decode-0.b" in pids(running) and pids(running)["decode-0.b"])
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait(10)
        assert set(running.record.processes) == {"frontend-0", "decode-0", "decode-0.b"} == set(written(running))


def test_room() -> None:
    assert no_room(custom("true"), GIB, 2 * GIB) == ""
    assert no_room(custom("true", env={"DYN_SYSTEM_PORT": "0"}), GIB, 2 * GIB) == ""
    assert (
        no_room(custom("true", env={"DYN_SYSTEM_PORT": "9090"}), 0, GIB)
        == "both would need port 9090 (DYN_SYSTEM_PORT)"
    )
    inherited = {"DYN_SYSTEM_PORT": "9091"}
    assert no_room(worker(0), 0, GIB, inherited) == "both would need port 9091 (DYN_SYSTEM_PORT)"
    assert no_room(worker(0, env={"DYN_SYSTEM_PORT": "0"}), 0, GIB, inherited) == ""
    assert no_room(frontend(), 0, GIB, inherited) == ""
    assert no_room(custom("true"), 2 * GIB, 2 * GIB).startswith("it holds 2.0 GiB of memory and there are 2.0 GiB")

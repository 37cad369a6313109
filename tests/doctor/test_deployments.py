from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from dynamo_cli.doctor.check import GIB
from dynamo_cli.doctor.deployments import (
    Life,
    dead_socket_directories,
    deployments_checks,
    life_check,
    log_sizes,
    logs_check,
    orphans_check,
    read_life,
    read_orphans,
    records_check,
    sockets_check,
    unreadable_records,
)
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.deployments import known, open_deployment
from dynamo_cli.supervisor.processes import ProcessId, identify
from dynamo_cli.supervisor.record import Record, write
from tests.doctor.judged import judge


@pytest.mark.parametrize(
    ("life", "status", "words"),
    [
        (Life("agg", "READY", True, url="http://x:8000"), "ok", "READY, http://x:8000"),
        (Life("agg", "STARTING", True), "ok", "STARTING"),
        (Life("agg", "DEGRADED", True, "lost decode-0"), "warn", "DEGRADED, lost decode-0"),
        (Life("agg", "FAILED", True, "it crashed"), "error", "FAILED, it crashed -> dynamo logs -d agg"),
        (
            Life("agg", "READY", False, left=2, goes_on=True),
            "warn",
            "2 processes of it still run -> dynamo status agg gives it another one; dynamo down agg ends it",
        ),
        (Life("agg", "READY", False, left=2), "warn", "2 processes of it still run -> dynamo down agg"),
        (Life("agg", "READY", False), "warn", "nothing of it runs -> dynamo down agg"),
    ],
)
def test_lives(life: Life, status: str, words: str) -> None:
    check = life_check(life)
    assert check.name == "deployment-agg"
    judge(check, status, words)


def test_those_that_were_stopped_are_not_told() -> None:
    (check,) = deployments_checks([Life("agg", "STOPPED", False)])
    judge(check, "ok", "none is running")


def test_words_for_what_is_left() -> None:
    judge(records_check([]), "ok")
    judge(records_check([Path("/h/a/state.json")]), "warn", "/h/a/state.json -> rm /h/a/state.json")
    judge(orphans_check({}), "ok")
    judge(orphans_check({"agg": [7, 8]}), "warn", "agg: pid 7, 8 -> kill 7 8")
    judge(sockets_check([]), "ok")
    judge(sockets_check([Path("/run/a"), Path("/run/b")]), "warn", "-> rm -r /run/a /run/b")
    judge(logs_check({}), "ok", "0 bytes")
    judge(logs_check({"a": GIB // 2, "b": GIB}), "warn", "1.5 GiB, 1.0 GiB of them of b -> rm -r ", "b/logs/previous")


def deployment(name: str, supervisor: ProcessId, **more: object) -> DeploymentPaths:
    paths = DeploymentPaths(name)
    paths.ensure()
    record = Record(deployment=name, deployment_id=f"id-{name}", supervisor=supervisor, state="READY")
    for key, value in more.items():
        setattr(record, key, value)
    write(paths.state, record)
    return paths


def test_a_real_process_whose_supervisor_is_dead() -> None:
    home = os.environ["DYNAMO_HOME"]
    marks = {"DYNAMO_DEPLOYMENT": "stale", "DYNAMO_DEPLOYMENT_ID": "id-stale", "DYNAMO_HOME": home}
    with subprocess.Popen(["sleep", "60"], env={**os.environ, **marks}, start_new_session=True) as left:
        process = identify(left.pid)
        assert process
        deployment("stale", ProcessId(1, 0), processes={"decode-0": process})
        found = open_deployment("stale")
        assert found and read_life(found) == Life("stale", "READY", False, left=1)
        assert read_orphans(known(), Path(home)) == {}, "`dynamo down` ends it"
        deployment("stale", ProcessId(1, 0), state="STOPPED")
        assert read_orphans(known(), Path(home)) == {"stale": [left.pid]}
        assert read_orphans(known(), Path("/elsewhere")) == {}
        left.kill()


def test_records_that_cannot_be_read() -> None:
    good = deployment("good", ProcessId(1, 0))
    bad = deployment("bad", ProcessId(1, 0))
    bad.state.write_text("{")
    assert unreadable_records(good.root.parent) == [bad.state]


def test_sockets_nobody_listens_on(tmp_path: Path, clean_environment: Path) -> None:
    base = clean_environment / "run"
    for name in ("dead", "alive", "empty"):
        (base / f"dynamo-{os.getuid()}-{name}").mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(base / f"dynamo-{os.getuid()}-dead" / "control.sock"))
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(base / f"dynamo-{os.getuid()}-alive" / "control.sock"))
        alive.listen()
        assert dead_socket_directories(base) == [base / f"dynamo-{os.getuid()}-dead"]


def test_the_size_of_logs(tmp_path: Path) -> None:
    for name in ("a/logs/frontend-0.log", "a/logs/previous/frontend-0.log", "b/logs/x.log", "b/state.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(8192))
    found = log_sizes(tmp_path)
    assert found["a"] == 2 * found["b"] > 0

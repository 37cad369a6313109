"""What is said of a deployment whose supervisor does not answer on its socket."""

from __future__ import annotations

import os
import shutil

import pytest

from dynamo_cli.doctor.deployments import unreadable_records
from dynamo_cli.errors import NotReady
from dynamo_cli.runtime.control import Change, DeploymentState, DeploymentStatus
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.deployments import Deployment, known, open_deployment, status_of
from dynamo_cli.supervisor.listing import listed
from dynamo_cli.supervisor.orders import wait_for_change
from dynamo_cli.supervisor.processes import identify
from dynamo_cli.supervisor.record import Record, write
from dynamo_cli.supervisor.watching import statuses

AT_WORK = {"deployment": "mine", "state": "READY", "changes": [Change(id=1, what="restart of decode")]}


def recorded(state: DeploymentState) -> Deployment:
    """Supervised by this test, which listens nowhere."""
    supervisor = identify(os.getpid())
    assert supervisor
    paths = DeploymentPaths("mine")
    paths.root.mkdir(parents=True, exist_ok=True)
    write(paths.state, Record(deployment="mine", deployment_id="x", supervisor=supervisor, state=state))
    found = open_deployment("mine")
    assert found
    return found


def test_it_begins() -> None:
    status = status_of(recorded("STARTING"))
    assert (status.state, status.reason) == ("STARTING", "the supervisor starts")


def test_it_hangs() -> None:
    status = status_of(recorded("READY"))
    assert status.state == "FAILED" and status.reason.startswith("the supervisor does not answer: ")


def test_it_has_ended_since_it_was_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    found = recorded("READY")
    recorded("STOPPED")
    with pytest.raises(NotReady, match="deployment mine is not running"):
        status_of(found)
    monkeypatch.setattr("dynamo_cli.supervisor.deployments.known", lambda: [found])
    assert [(row.deployment, row.state) for row in listed(with_stopped=True)] == [("mine", "STOPPED")]
    monkeypatch.setattr("dynamo_cli.supervisor.watching.open_deployment", lambda _: found)
    assert list(statuses(found, 0.01)) == []


def test_a_change_does_not_go_on_in_a_deployment_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotReady) as ended:
        wait_for_change(recorded("STOPPED"), 1, 5.0)
    assert str(ended.value) == "mine has ended"
    with pytest.raises(NotReady, match="it goes on"):
        monkeypatch.setattr("dynamo_cli.supervisor.watching.status_of", lambda _: DeploymentStatus(**AT_WORK))
        wait_for_change(recorded("READY"), 1, 0.0)


def test_a_copy_under_another_name_is_no_deployment() -> None:
    mine = recorded("STOPPED")
    for name in ("mine.old", "Mine", "mine copy", "mine-old"):
        shutil.copytree(mine.paths.root, mine.paths.root.with_name(name))
    assert [deployment.name for deployment in known()] == ["mine"]
    assert unreadable_records(mine.paths.root.parent) == []

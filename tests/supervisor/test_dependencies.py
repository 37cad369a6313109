"""When a service may start, decided from what is known of those it depends on."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from dynamo_cli.runtime.control import ServiceState, ServiceStatus
from dynamo_cli.supervisor.dependencies import Wait, unmet
from dynamo_cli.topology.process import Dependency

Condition = Literal["started", "ready", "exited", "log"]


def decide(condition: Condition, state: ServiceState, wrote: bool = False, **fields: Any) -> Wait:
    status = ServiceStatus(name="a", kind="service", state=state, ready=state == "READY", **fields)
    return unmet([Dependency("a", condition, "up")], {"a": status}, lambda *_: wrote)


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("started", {"STARTING", "LOADING", "READY", "DEGRADED"}),
        ("ready", {"READY"}),
        ("exited", set()),
        ("log", set()),
    ],
)
def test_the_state_alone(condition: Condition, met: set[str]) -> None:
    states: list[ServiceState] = [
        "PENDING",
        "STARTING",
        "LOADING",
        "READY",
        "DEGRADED",
        "DRAINING",
        "BACKOFF",
        "FAILED",
        "STOPPED",
    ]
    assert {state for state in states if not decide(condition, state)} == met


def test_a_task_that_is_done() -> None:
    assert not decide("exited", "STOPPED", done=True)
    assert not decide("started", "STOPPED", done=True)
    assert not decide("log", "STOPPED", done=True, wrote=True)
    assert decide("exited", "STOPPED", by_hand=True).words == "waits for a to finish"


def test_a_line_counts_only_of_a_process_that_runs() -> None:
    assert not decide("log", "READY", wrote=True)
    assert decide("log", "BACKOFF", wrote=True)
    assert decide("log", "READY").words == 'waits for a to write "up"'


def test_what_cannot_come_is_said() -> None:
    wait = decide("ready", "FAILED", reason="exited with code 1; gave up")
    assert wait == Wait("needs a, which is FAILED: exited with code 1; gave up", hopeless=True)
    assert decide("ready", "STOPPED", done=True).hopeless
    assert decide("log", "STOPPED", done=True).hopeless
    assert not decide("ready", "STOPPED", by_hand=True).hopeless


def test_all_that_is_missing_is_named_and_what_is_gone_is_not_waited_for() -> None:
    services = {name: ServiceStatus(name=name, kind="worker") for name in ("a", "b")}
    wanted = [Dependency("a"), Dependency("b", "started"), Dependency("removed")]
    assert unmet(wanted, services, lambda *_: False).words == "waits for a, b to start"

"""A running deployment watched from outside, through its control socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from dynamo_cli.errors import DynamoError, NotReady
from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.supervisor.deployments import Deployment, open_deployment, select, status_of

LOOK_S = 0.1
WANTED = ("ready", "degraded", "failed", "stopped")


class HasEnded(NotReady):
    """The deployment is gone, and with it what was waited for."""


def statuses(deployment: Deployment, every_s: float) -> Iterator[DeploymentStatus]:
    """The status again and again, until its supervisor has ended."""
    while True:
        found = open_deployment(deployment.name)
        if found is None or not found.record.supervised:
            return
        try:
            status = status_of(found)
        except NotReady:
            return
        yield status
        time.sleep(every_s)


def wait_for(name: str | None, state: str, timeout_s: float) -> DeploymentStatus | None:
    """The status once the deployment is in that state, None for one that is gone as wanted.

    The deployment may not have been started yet. NotReady when time is over; DynamoError when it failed or ended and
    so cannot get there.
    """
    deadline = time.monotonic() + timeout_s
    words, seen = "no deployment is running", False
    while True:
        status, words = _look(name, words)
        seen = seen or status is not None
        if status is None and state == "stopped":
            return None
        if status and status.state.lower() == state:
            return status
        if status and status.state == "FAILED":
            raise DynamoError(f"{status.deployment} is FAILED: {status.reason}")
        if status is None and seen:
            raise DynamoError(f"{name or 'the deployment'} has ended before it was {state.upper()}")
        if time.monotonic() >= deadline:
            raise NotReady(f"not {state.upper()} within {timeout_s:g} s: {words}")
        time.sleep(LOOK_S)


def _look(name: str | None, words: str) -> tuple[DeploymentStatus | None, str]:
    try:
        status = status_of(select(name))
    except NotReady as error:
        return None, str(error)
    return status, f"{status.deployment} is {status.state}{f': {status.reason}' if status.reason else ''}"


def wait_until(deployment: Deployment, done: Callable[[DeploymentStatus], bool], timeout_s: float) -> DeploymentStatus:
    """The first status that `done` accepts. NotReady with the reason when time is over, HasEnded when all of it is."""
    deadline = time.monotonic() + timeout_s
    for status in statuses(deployment, LOOK_S):
        if done(status):
            return status
        if time.monotonic() >= deadline:
            raise NotReady(f"not done within {timeout_s:g} s: {status.reason or status.state}")
    raise HasEnded(f"{deployment.name} has ended")

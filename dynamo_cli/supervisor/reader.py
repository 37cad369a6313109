"""`dynamo logs`: the log files of one deployment as one stream of prefixed lines."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator, Sequence

from dynamo_cli.errors import NotReady, UsageError
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor import deployments
from dynamo_cli.supervisor.deployments import Deployment
from dynamo_cli.supervisor.logfiles import OWN_LOG, log_file
from dynamo_cli.supervisor.logtail import Line, LogFollower, merged
from dynamo_cli.supervisor.record import read_plan

LOOK_S = 0.1


def read_logs(name: str | None, services: Sequence[str], tail: int | None, follow: bool) -> Iterator[str]:
    """Prefixed lines; with `follow` until the deployment is down. UsageError for an unknown service."""
    deployment = _choose(name)
    chosen = _check(deployment, services)
    width = max(map(len, chosen))
    files = [(service, log_file(deployment.paths, service)) for service in chosen]
    follower = LogFollower(files)
    for line in merged(files, tail):
        yield _prefixed(line, width)
    while follow:
        for line in follower.read():
            yield _prefixed(line, width)
        follow = _still_running(deployment.paths)
        time.sleep(LOOK_S)


def _choose(name: str | None) -> Deployment:
    if name:
        found = deployments.open_deployment(name)
        if found is None:
            raise NotReady(f"there was never a deployment {name} here")
        return found
    running, known = deployments.running(), deployments.known()
    if len(running) > 1:
        return deployments.select(None)
    if not running and not known:
        raise NotReady(deployments.NONE_RUNNING)
    return (running or known)[0]


def _check(deployment: Deployment, services: Sequence[str]) -> list[str]:
    plan = read_plan(deployment.paths)
    names = [*(spec.name for spec in plan.processes), OWN_LOG] if plan else [OWN_LOG]
    for service in services:
        if service not in names:
            near = difflib.get_close_matches(service, names, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise UsageError(f"{deployment.name} has no service {service}; {hint}")
    return list(services) or names


def _still_running(paths: DeploymentPaths) -> bool:
    found = deployments.open_deployment(paths.deployment)
    return found is not None and found.record.supervised


def _prefixed(line: Line, width: int) -> str:
    return f"{line.service.ljust(width)} | {line.text}"

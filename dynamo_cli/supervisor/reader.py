"""`dynamo logs`: the log files of one deployment as one stream of lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dynamo_cli.errors import NotReady
from dynamo_cli.logs.files import OWN_LOG, log_file
from dynamo_cli.logs.query import Filter, Query, last_of_each
from dynamo_cli.logs.tail import Line, LogFollower, merged
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor import deployments
from dynamo_cli.supervisor.crashes.keep import latest
from dynamo_cli.supervisor.deployments import Deployment
from dynamo_cli.supervisor.names import resolve
from dynamo_cli.supervisor.record import read_plan
from dynamo_cli.topology.twins import twin_of

LOOK_S = 0.1


def read_logs(
    name: str | None,
    wanted: Sequence[str],
    query: Query,
    follow: bool,
    make_writer: Callable[[int], Callable[[Line], str]],
) -> Iterator[str]:
    """Lines as `make_writer(width of the names)` writes them; with `follow` until the deployment is down.

    `wanted`: services or pools, all without any. UsageError for an unknown one.
    """
    deployment = _choose(name)
    chosen = _check(deployment, wanted)
    write = make_writer(max(map(len, chosen)))
    files = [(service, log_file(deployment.paths, service)) for service in chosen]
    follower = LogFollower(files)
    yield from map(write, _recorded(files, query))
    passes = Filter(query)
    while follow:
        follow = _still_running(deployment.paths)
        follower.follow((service, log_file(deployment.paths, service)) for service in _check(deployment, wanted))
        yield from (write(line) for line in (follower.read() if follow else follower.rest()) if passes.wants(line))
        time.sleep(LOOK_S)


def read_crash(name: str | None, service: str) -> str:
    """What is kept of the last failure of a service, with its last lines. NotReady when it never failed."""
    deployment = _choose(name)
    _check(deployment, [service])
    directory = latest(deployment.paths.logs / "crashes", service)
    if directory is None:
        raise NotReady(f"{service} of {deployment.name} never failed")
    return "\n".join((directory / file).read_text() for file in ("summary.txt", "output.log"))


def _recorded(files: Sequence[tuple[str, Path]], query: Query) -> Iterator[Line]:
    if query.takes_all:
        return merged(files, query.tail)
    passes = Filter(query)
    lines = (line for line in merged(files) if passes.wants(line))
    return lines if query.tail is None else last_of_each(lines, query.tail)


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


def _check(deployment: Deployment, wanted: Sequence[str]) -> list[str]:
    plan = read_plan(deployment.paths)
    pools = {spec.name: spec.pool for spec in plan.processes} if plan else {}
    pools[OWN_LOG] = OWN_LOG
    chosen = resolve(wanted, pools, deployment.name) if wanted else list(pools)
    return [name for one in chosen for name in _with_twin(deployment.paths, one)]


def _with_twin(paths: DeploymentPaths, service: str) -> list[str]:
    """The process it replaced has its own log, which is older."""
    twin = twin_of(service)
    return [twin, service] if log_file(paths, twin).exists() else [service]


def _still_running(paths: DeploymentPaths) -> bool:
    found = deployments.open_deployment(paths.deployment)
    return found is not None and found.record.supervised

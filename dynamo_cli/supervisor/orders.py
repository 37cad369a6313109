"""Start, stop, restart and scale from the command line: ask the supervisor, wait, and say what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dynamo_cli.errors import DynamoError, NotReady, UsageError
from dynamo_cli.runtime.control import Change, DeploymentStatus, ServiceAction, ServiceStatus
from dynamo_cli.supervisor.deployments import Deployment
from dynamo_cli.supervisor.health import OVER
from dynamo_cli.supervisor.names import resolve
from dynamo_cli.supervisor.watching import HasEnded, wait_until


def act(deployment: Deployment, action: ServiceAction, names: Sequence[str], timeout_s: float | None) -> list[str]:
    """A line for each service. `timeout_s` None does not wait.

    UsageError for a name that is not there, NotReady when time is over, DynamoError when one failed.
    """
    before = {service.name: service for service in deployment.client.status().services}
    chosen = resolve(names, {name: service.pool for name, service in before.items()}, deployment.name)
    deployment.client.act(action, list(names))
    if timeout_s is None:
        return [f"{name}: {action} asked for" for name in chosen]

    def done(status: DeploymentStatus) -> bool:
        now = {service.name: service for service in status.services}
        return all(settled(action, before[name], now[name]) for name in chosen if name in now)

    return _told(wait_until(deployment, done, timeout_s), chosen)


def scale(deployment: Deployment, replicas: Mapping[str, int], timeout_s: float | None) -> list[str]:
    """The same for numbers of replicas."""
    deployment.client.scale(dict(replicas))
    if timeout_s is None:
        return [f"{pool}: {count} asked for" for pool, count in replicas.items()]

    def done(status: DeploymentStatus) -> bool:
        members = {pool: [s for s in status.services if s.pool == pool] for pool in replicas}
        return all(len(members[pool]) == count and all(map(_rests, members[pool])) for pool, count in replicas.items())

    status = wait_until(deployment, done, timeout_s)
    none = [f"{pool} has no replica" for pool, count in replicas.items() if count == 0]
    return _told(status, [s.name for s in status.services if s.pool in replicas]) + none


def roll(deployment: Deployment, names: Sequence[str], surge: int, timeout_s: float | None) -> list[str]:
    """Restart by replacing each process: the next one gets ready, then the one before it ends. Otherwise as `act`."""
    services = {service.name: service.pool for service in deployment.client.status().services}
    chosen = resolve(names, services, deployment.name)
    change = deployment.client.act("restart", list(names), rolling=True, surge=surge)
    if timeout_s is None:
        return [f"{name}: restart asked for" for name in chosen]
    status, done = wait_for_change(deployment, change, timeout_s)
    now = {service.name: service for service in status.services}
    places = {name: done.replaced.get(name, name) for name in chosen}
    told = [f"{told_of(now[new])}{_in_place_of(old, new)}" for old, new in places.items() if new in now]
    return [*done.lines, *told]


def wait_for_change(deployment: Deployment, change: int, timeout_s: float) -> tuple[DeploymentStatus, Change]:
    """The status once it is done. NotReady when time is over, DynamoError with the reason when it went no further."""

    def found(status: DeploymentStatus) -> Change:
        return next((one for one in status.changes if one.id == change), Change(id=change, what="", done=True))

    try:
        status = wait_until(deployment, lambda status: found(status).done, timeout_s)
    except HasEnded:
        raise
    except NotReady as error:
        raise NotReady(f"{error}; it goes on, `dynamo events` tells how") from None
    done = found(status)
    if done.failed:
        raise DynamoError("; ".join([*done.lines, done.failed]))
    return status, done


def told_of(service: ServiceStatus) -> str:
    return f"{service.name} is {service.state}{f' (pid {service.pid})' if service.pid else ''}"


def _in_place_of(old: str, new: str) -> str:
    return f", in place of {old}" if new != old else ""


def parse_replicas(pairs: Sequence[str]) -> dict[str, int]:
    """`POOL=N` each. Raises UsageError."""
    replicas: dict[str, int] = {}
    for pair in pairs:
        pool, equals, number = pair.partition("=")
        if not pool or not equals or not number.isdecimal():
            raise UsageError(f"{pair}: expected POOL=N, such as decode=4")
        if pool in replicas:
            raise UsageError(f"{pair}: {pool} is given twice")
        replicas[pool] = int(number)
    return replicas


def settled(action: ServiceAction, before: ServiceStatus, now: ServiceStatus) -> bool:
    """Whether what was asked for has come to an end, good or bad."""
    if action == "stop":
        return now.state == "STOPPED"
    if action == "restart" and (now.since <= before.since or (now.pid is not None and now.pid == before.pid)):
        return False
    return _rests(now) and not now.by_hand


def _rests(service: ServiceStatus) -> bool:
    return service.ready or service.state in OVER


def _told(status: DeploymentStatus, names: Sequence[str]) -> list[str]:
    services = [service for service in status.services if service.name in names]
    failed = [service for service in services if service.state == "FAILED"]
    if failed:
        raise DynamoError("; ".join(f"{service.name} is FAILED: {service.reason}" for service in failed))
    return [told_of(service) for service in services]

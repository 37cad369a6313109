"""`dynamo apply`: an edited topology against what runs of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from dynamo_cli.errors import NotReady, UsageError
from dynamo_cli.supervisor.deployments import Deployment
from dynamo_cli.supervisor.orders import told_of, wait_for_change
from dynamo_cli.supervisor.prepare import plan_here
from dynamo_cli.supervisor.record import plan_digest, read_plan
from dynamo_cli.supervisor.reservation import reservation
from dynamo_cli.topology.difference import difference, told
from dynamo_cli.topology.parts import Topology


class Application:
    """`lines`: what differs. `change`: of the supervisor, 0 when nothing was asked of it."""

    def __init__(self, deployment: Deployment, lines: list[str], change: int = 0) -> None:
        self.deployment = deployment
        self.lines = lines
        self._change = change

    def wait(self, timeout_s: float) -> Iterator[str]:
        """A line for each process that came. NotReady when time is over, DynamoError when it went no further."""
        if not self._change:
            return
        before = {service.name for service in self.deployment.client.status().services}
        status, done = wait_for_change(self.deployment, self._change, timeout_s)
        yield from done.lines
        came = set(done.replaced.values())
        for service in status.services:
            if service.name in came or service.name not in before:
                yield told_of(service)


def running(topology: Topology, name: str | None, choose: Callable[[str], Deployment]) -> Deployment:
    """The deployment that the topology is of, as `choose` finds it.

    UsageError when `name` is another one, NotReady when it does not run or nobody supervises it.
    """
    if name and name != topology.name:
        raise UsageError(
            f"{topology.source} is called {topology.name}, not {name}, and a name cannot change while it runs"
        )
    try:
        deployment = choose(topology.name)
    except NotReady as error:
        raise NotReady(f"{error}; `dynamo up {topology.source}` starts it") from None
    if not deployment.record.supervised:
        raise NotReady(f"the supervisor of {deployment.name} is gone; `dynamo up {topology.source}` starts it again")
    return deployment


def apply(topology: Topology, deployment: Deployment, *, surge: int, share_gpus: bool, dry_run: bool) -> Application:
    """Plan anew, keeping what stays as it is, and let the supervisor change over; without that in a `dry_run`.

    NotReady when it does not run, UsageError for what cannot change while it does; else as planning raises.
    """
    with reservation():
        planned = read_plan(deployment.paths)
        if planned is None:
            raise NotReady(f"the plan of {deployment.name} cannot be read")
        wanted = plan_here(topology, share_gpus=share_gpus, running=planned)
        lines = [*(f"warning: {line}" for line in wanted.warnings), *told(difference(planned, wanted), planned)]
        if dry_run:
            return Application(deployment, lines)
        change = deployment.client.apply(msgspec.json.encode(wanted), plan_digest(planned), surge)
    return Application(deployment, lines, change)

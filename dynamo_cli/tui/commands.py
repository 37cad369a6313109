"""What the command palette offers beside the keys: everything that can be done to each service and pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dynamo_cli.logs.files import OWN_LOG
from dynamo_cli.runtime.control import DeploymentStatus


class Command(NamedTuple):
    """`action`: of the app, as its key bindings name them."""

    title: str
    help: str
    action: str


def commands(status: DeploymentStatus) -> Iterator[Command]:
    yield Command("Stop the deployment", "All of it, in order", "stop_all")
    for service in status.services:
        name = service.name
        yield Command(f"Restart {name}", "One beside the other, or at once", f"restart('{name}')")
        if service.state == "STOPPED":
            yield Command(f"Start {name}", "It was stopped", f"start('{name}')")
        else:
            yield Command(f"Stop {name}", "Until it is started again", f"stop('{name}')")
        yield Command(f"Log of {name}", "Only its lines", f"show_log('{name}')")
    for pool in dict.fromkeys(service.pool for service in status.services if service.pool):
        yield Command(f"Restart all of {pool}", "One replica after another", f"restart('{pool}')")
        yield Command(f"Scale {pool}", "Change the number of its replicas", f"scale_pool('{pool}')")
    yield Command("Log of the supervisor", "What became of the services, and why", f"show_log('{OWN_LOG}')")
    yield Command("Log of all services", "Merged, in order of time", "show_log('')")
    yield Command("Light or dark", "Change the colours", "toggle_theme")
    yield Command("Keys", "What each key does", "keys")
    yield Command("Quit", "As q does", "leave")

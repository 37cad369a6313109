"""What a person who waits for a start is told: what is not ready yet, each time it comes a step further. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus

QUIET_S = 2.0
"""A start that takes no longer needs no words."""
STEP = 10
"""Percent of a progress that are worth a line."""


class Waiting:
    """`lines(status)`: what is new since the last one."""

    def __init__(self) -> None:
        self._told: dict[str, object] = {}

    def lines(self, status: DeploymentStatus) -> Iterator[str]:
        if status.uptime_s < QUIET_S:
            return
        for service in status.services:
            step = _step(service)
            if not service.ready and service.reason and self._told.get(service.name) != step:
                self._told[service.name] = step
                yield f"{service.name}: {service.reason}"


def _step(service: ServiceStatus) -> object:
    """Equal as long as there is nothing new worth a line."""
    if service.phase and service.progress:
        return service.phase, int(service.progress.percent) // STEP
    return service.reason

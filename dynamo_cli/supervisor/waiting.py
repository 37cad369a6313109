"""What a person who waits for a start is told: what is not ready yet, each time it comes a step further. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus

QUIET_S = 2.0
"""A start that takes no longer needs no words."""
EVERY_S = 3.0
"""News come no more often, however many processes there are."""
MOST = 4
"""Processes that are named at a time."""
STEP = 10
"""Percent of a progress that are worth a line."""


class Waiting:
    """`lines(status)`: what is new since the last ones, if these are long enough ago."""

    def __init__(self) -> None:
        self._told: dict[str, object] = {}
        self._next = QUIET_S

    def lines(self, status: DeploymentStatus) -> Iterator[str]:
        if status.uptime_s < self._next:
            return
        news = [service for service in status.services if self._is_news(service)]
        if not news:
            return
        self._next = status.uptime_s + EVERY_S
        self._told.update((service.name, _step(service)) for service in news)
        yield from (f"{service.name}: {service.reason}" for service in news[:MOST])
        if len(news) > MOST:
            yield f"and {len(news) - MOST} more"

    def _is_news(self, service: ServiceStatus) -> bool:
        return bool(not service.ready and service.reason and self._told.get(service.name) != _step(service))


def _step(service: ServiceStatus) -> object:
    """Equal as long as there is nothing new worth a line."""
    if service.phase and service.progress:
        return service.phase, int(service.progress.percent) // STEP
    return service.reason

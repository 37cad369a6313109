"""Asks the frontends what they know of the workers, and how requests went."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from dynamo_cli.protocol.explained import Remembered
from dynamo_cli.protocol.routing_view import RouterView, RoutingStatus
from dynamo_cli.runtime.control import RememberedRequests, ServiceStatus
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.admin_calls import Told, ask_all
from dynamo_cli.supervisor.routing_status import complaints, routing_status

T = TypeVar("T")
LOOK_S = 3.0
KNOWN_S = 0.05


class Lookout:
    """`notes`: what the frontends find wrong with workers, as of the last look. `services`: how they are now."""

    def __init__(self, paths: DeploymentPaths, services: Callable[[], Sequence[ServiceStatus]]) -> None:
        self.notes: list[str] = []
        self._paths = paths
        self._services = services

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            views, _ = await self._views()
            self.notes = complaints(views)

    async def routing(self) -> RoutingStatus:
        views, problems = await self._views()
        return routing_status(self._paths.deployment, views, problems)

    async def known(self, worker: str, patience_s: float) -> None:
        """Until every frontend that answers can send requests to this worker or has refused it, or time is over."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            views, _ = await self._views()
            if all(_knows(view, worker) for view in views.values()):
                return
            await asyncio.sleep(KNOWN_S)

    async def requests(self, path: str) -> RememberedRequests:
        """What each frontend remembers; `path`: /requests, or /requests/ID with its escapes."""
        told = [_decoded(one, Remembered) for one in await ask_all(self._paths, self._frontends(), path)]
        return RememberedRequests(*_parted(told))

    async def _views(self) -> tuple[dict[str, RouterView], dict[str, str]]:
        told = await ask_all(self._paths, self._frontends(), "/router")
        return _parted([_decoded(one, RouterView) for one in told])

    def _frontends(self) -> list[str]:
        return [one.name for one in self._services() if one.kind == "frontend" and one.pid is not None]


def _knows(view: RouterView, worker: str) -> bool:
    used = {one.service for model in view.models.values() for one in model.workers.values()}
    return worker in used or worker in view.refused


def _decoded(told: Told, kind: type[T]) -> tuple[str, T | str]:
    """What the service says, or why that is not known."""
    if told.problem:
        return told.service, told.problem
    try:
        return told.service, msgspec.json.decode(told.body, type=kind)
    except msgspec.DecodeError as error:
        return told.service, f"its answer cannot be read: {error}"


def _parted(told: Iterable[tuple[str, T | str]]) -> tuple[dict[str, T], dict[str, str]]:
    """Answers and problems, by service."""
    answers: dict[str, T] = {}
    problems: dict[str, str] = {}
    for service, said in told:
        if isinstance(said, str):
            problems[service] = said
        else:
            answers[service] = said
    return answers, problems

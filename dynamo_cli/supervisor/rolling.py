"""Replacing processes under load: the next one first gets ready, then the one before it ends in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from dynamo_cli.errors import DynamoError, NotReady
from dynamo_cli.runtime.control import Change, Event
from dynamo_cli.supervisor.changes import Changes
from dynamo_cli.supervisor.events import EventBus
from dynamo_cli.supervisor.health import OVER
from dynamo_cli.supervisor.scaling import moved
from dynamo_cli.supervisor.service import Service
from dynamo_cli.topology.process import ProcessSpec
from dynamo_cli.topology.twins import twin_of

SERVING = ("READY", "DEGRADED")
Step = tuple[Service, ProcessSpec]
"""A service and what is to run in its place."""


class Team(Protocol):
    """What rolling needs of the crew."""

    services: dict[str, Service]

    def add(self, spec: ProcessSpec, beside: str = "") -> Service: ...

    def put(self, spec: ProcessSpec) -> None: ...

    async def remove(self, name: str) -> None: ...

    def other_ports(self) -> Iterator[int]: ...


class Rolling:
    """`no_room` says why two processes of a replica cannot run at once; `known` returns when who sends requests knows
    a new one."""

    def __init__(
        self,
        team: Team,
        bus: EventBus,
        changes: Changes,
        *,
        no_room: Callable[[Service, ProcessSpec], str],
        known: Callable[[Service], Awaitable[None]],
    ) -> None:
        self._team = team
        self._bus = bus
        self._changes = changes
        self._no_room = no_room
        self._known = known

    async def pools(self, change: Change, steps: Sequence[Step], surge: int = 1) -> None:
        """Pools side by side, each as `pool` does. Raises the first DynamoError, when all have come to their end."""
        pools: dict[str, list[Step]] = {}
        for step in steps:
            pools.setdefault(step[0].spec.pool, []).append(step)
        ends = await asyncio.gather(
            *(self.pool(change, members, surge) for members in pools.values()), return_exceptions=True
        )
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def pool(self, change: Change, steps: Sequence[Step], surge: int = 1) -> None:
        """`surge` replicas at a time. DynamoError, after which no other one is begun, when a process gets not ready."""
        left, failures = iter(steps), list[DynamoError]()

        async def some() -> None:
            for service, spec in left:
                try:
                    await self.replace(change, service, spec)
                except DynamoError as error:
                    failures.append(error)
                if failures:
                    return

        await asyncio.gather(*(some() for _ in range(max(surge, 1))))
        if failures:
            raise failures[0]

    async def replace(self, change: Change, old: Service, spec: ProcessSpec) -> None:
        """One replica. DynamoError when its next process gets not ready; the one before then goes on, if it can."""
        name = old.spec.name
        if spec.kind == "service" or old.status.state not in SERVING:
            await self._in_place(old, spec)
        elif why := self._no_room(old, spec):
            self._changes.note(change, f"{name} stops before the next one starts: {why}")
            await self._in_place(old, spec)
        else:
            await self._beside(change, old, spec)

    async def _beside(self, change: Change, old: Service, spec: ProcessSpec) -> None:
        name, before = twin_of(old.spec.name), old.spec.name
        if name in self._team.services:
            raise NotReady(f"{name} has not ended yet")
        with self._bus.subscribe() as news:
            new = self._team.add(
                msgspec.structs.replace(moved(spec, self._team.other_ports()), name=name), beside=before
            )
            await _until(news, lambda: new.status.ready or new.status.state in ("BACKOFF", *OVER))
        if new.status.ready:
            await self._known(new)
        if not new.status.ready:
            why = new.status.last_exit or new.status.reason
            await self._team.remove(name)
            stays = "stays" if old.status.state in SERVING else f"is {old.status.state}"
            raise DynamoError(f"{name} did not get ready: {why}; {before} {stays}")
        new.took_over()
        change.replaced[before] = name
        await self._team.remove(before)

    async def _in_place(self, service: Service, spec: ProcessSpec) -> None:
        spec = msgspec.structs.replace(spec, name=service.spec.name)
        self._team.put(spec)
        with self._bus.subscribe() as news:
            lives = service.lives
            service.restart(spec)
            await _until(news, lambda: service.lives != lives)
        await self.settled(service)

    async def settled(self, service: Service) -> None:
        """Until it is ready, or has done its work. DynamoError when it comes to rest otherwise."""
        with self._bus.subscribe() as news:
            await _until(news, lambda: service.status.ready or service.status.state in OVER)
        if not service.status.ready and not service.status.done:
            raise DynamoError(f"{service.spec.name} is {service.status.state}: {service.status.reason}")


async def _until(news: asyncio.Queue[Event | None], reached: Callable[[], bool]) -> None:
    while not reached():
        if await news.get() is None:
            raise NotReady("the deployment ends")

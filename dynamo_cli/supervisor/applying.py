"""Changing over to another plan while it runs: what is new starts, what differs is replaced, what is left over ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from dynamo_cli.runtime.control import Change
from dynamo_cli.supervisor.rolling import Rolling, Team
from dynamo_cli.supervisor.service import Service
from dynamo_cli.topology.difference import Difference
from dynamo_cli.topology.process import ProcessSpec


class Application:
    """One order. `begin` at once, while nobody else can take what the new processes are given; then `go_on`."""

    def __init__(self, team: Team, rolling: Rolling, change: Change, difference: Difference, generation: int) -> None:
        self._team = team
        self._rolling = rolling
        self._change = change
        self._difference = difference
        self._generation = generation
        self._added: list[Service] = []

    def begin(self) -> None:
        """What stays goes by its new spec; what is new starts, unless it waits for the GPUs of what ends."""
        for spec in self._difference.kept:
            self._team.put(spec)
            self._team.services[spec.name].adopt(spec)
        for spec in self._difference.added:
            if not self._waits(spec):
                self._add(spec)

    async def go_on(self, surge: int) -> None:
        """Until all is as it should be. DynamoError when a process got not ready: then nothing else is touched."""
        early = [spec for spec in self._difference.removed if any(_share(spec, new) for new in self._starting())]
        await self._remove(early)
        for spec in self._difference.added:
            if self._waits(spec):
                self._add(spec)
        steps = [(self._team.services[old.name], self._next(new)) for old, new in self._difference.replaced]
        services, workers, doors = ([step for step in steps if _turn(step[1]) == turn] for turn in range(3))
        await self._rolling.pools(self._change, services)
        await self._rolling.pools(self._change, workers, surge)
        for service in self._added:
            await self._rolling.settled(service)
        await self._rolling.pools(self._change, doors, surge)
        await self._remove(spec for spec in self._difference.removed if spec not in early)

    def _starting(self) -> list[ProcessSpec]:
        return [*self._difference.added, *(new for _, new in self._difference.replaced)]

    def _waits(self, spec: ProcessSpec) -> bool:
        return any(_share(spec, leaving) for leaving in self._difference.removed)

    def _add(self, spec: ProcessSpec) -> None:
        self._added.append(self._team.add(self._next(spec)))

    def _next(self, spec: ProcessSpec) -> ProcessSpec:
        return msgspec.structs.replace(spec, generation=self._generation)

    async def _remove(self, specs: Iterable[ProcessSpec]) -> None:
        await asyncio.gather(*(self._team.remove(spec.name) for spec in specs))


def _turn(spec: ProcessSpec) -> int:
    """Services first, because others depend on them; then workers; then those that send them requests."""
    return {"service": 0, "worker": 1}.get(spec.kind, 2)


def _share(one: ProcessSpec, other: ProcessSpec) -> bool:
    return bool({gpu.uuid for gpu in one.gpus} & {gpu.uuid for gpu in other.gpus})

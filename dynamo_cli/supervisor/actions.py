"""What people do to a running deployment: start, stop and restart its services, and change their number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from dynamo_cli.runtime.control import ServiceAction
from dynamo_cli.supervisor.events import EventBus
from dynamo_cli.supervisor.health import OVER
from dynamo_cli.supervisor.names import resolve
from dynamo_cli.supervisor.scaling import scaled
from dynamo_cli.supervisor.service import Service
from dynamo_cli.topology.process import Plan, ProcessSpec


class Crew:
    """The services of a deployment as they are now.

    `make` makes one from its spec; `save` keeps a changed plan; `changed` is called when there are others.
    """

    def __init__(
        self,
        plan: Plan,
        bus: EventBus,
        *,
        make: Callable[[ProcessSpec], Service],
        save: Callable[[Plan], None],
        changed: Callable[[], None],
        free_ports: Iterator[int],
    ) -> None:
        self.plan = plan
        self.services: dict[str, Service] = {}
        self.running: dict[str, asyncio.Future[None]] = {}
        self._bus = bus
        self._make = make
        self._save = save
        self._changed = changed
        self._free_ports = free_ports
        self._models = {spec.pool: spec for spec in reversed(plan.processes)}
        self._tasks: set[asyncio.Task[None]] = set()

        for spec in plan.processes:
            self.services[spec.name] = make(spec)

    def begin(self) -> None:
        """Start what the plan holds."""
        for name, service in self.services.items():
            self.running[name] = asyncio.ensure_future(service.run())

    def act(self, action: ServiceAction, names: list[str]) -> None:
        """Returns at once. UsageError for a name that is not there."""
        pools = {spec.name: spec.pool for spec in self.plan.processes}
        chosen = [self.services[name] for name in resolve(names, pools, self.plan.deployment)]
        if action == "restart":
            self._in_background(self._restart_each(chosen))
            return
        for service in chosen:
            service.start() if action == "start" else service.stop()

    def scale(self, replicas: dict[str, int]) -> None:
        """Returns at once. UsageError for what cannot be; then nothing has changed."""
        pools = {spec.pool: spec.pool for spec in self.plan.processes} | {pool: pool for pool in self._models}
        resolve(list(replicas), pools, self.plan.deployment)
        used = {port for spec in self.plan.processes for port in spec.ports.values()}
        ports = (port for port in self._free_ports if port not in used)
        before, plan = self.plan, scaled(self.plan, replicas, self._models, ports, taken=self.services)
        self._save(plan)
        self.plan = plan
        had, has = {spec.name for spec in before.processes}, {spec.name for spec in plan.processes}
        for spec in plan.processes:
            if spec.name not in had:
                service = self.services[spec.name] = self._make(spec)
                self.running[spec.name] = asyncio.ensure_future(service.run())
        for name in had - has:
            self._in_background(self._remove(name))
        order = [spec.name for spec in plan.processes]
        self.services.update({name: self.services.pop(name) for name in [*order, *sorted(had - has)]})
        self._changed()

    async def close(self) -> None:
        """What was going on in the background ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _remove(self, name: str) -> None:
        self.services[name].close()
        await asyncio.wait({self.running[name]})
        del self.services[name], self.running[name]
        self._changed()

    async def _restart_each(self, services: list[Service]) -> None:
        """One replica of a pool after another, each when the one before serves or is given up; pools side by side."""
        pools: dict[str, list[Service]] = {}
        for service in services:
            pools.setdefault(service.spec.pool, []).append(service)
        await asyncio.gather(*(self._restart_in_turn(members) for members in pools.values()))

    async def _restart_in_turn(self, services: list[Service]) -> None:
        with self._bus.subscribe() as changes:
            for service in services:
                lives = service.lives
                service.restart()
                while service.lives == lives or not (service.status.ready or service.status.state in OVER):
                    if await changes.get() is None:
                        return

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

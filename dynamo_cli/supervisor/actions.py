"""What people do to a running deployment: start, stop and restart its services, and change their number or its plan."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import msgspec

from dynamo_cli.errors import DynamoError, UsageError
from dynamo_cli.runtime.control import Change, ServiceAction
from dynamo_cli.supervisor.applying import Application
from dynamo_cli.supervisor.changes import Changes
from dynamo_cli.supervisor.events import EventBus
from dynamo_cli.supervisor.health import OVER
from dynamo_cli.supervisor.names import resolve
from dynamo_cli.supervisor.record import plan_digest
from dynamo_cli.supervisor.rolling import Rolling
from dynamo_cli.supervisor.scaling import scaled
from dynamo_cli.supervisor.service import Service
from dynamo_cli.topology.difference import difference
from dynamo_cli.topology.process import Plan, ProcessSpec
from dynamo_cli.topology.twins import place_of

logger = logging.getLogger("dynamo.supervisor")


class Crew:
    """The services of a deployment as they are now.

    `make` makes one from its spec and the name of the one it is to replace, if any; `save` keeps a changed plan;
    `changed` is called when there are others. `no_room` and `known`: see Rolling. The plan on disk is at any moment
    that of the processes which are to run then.
    """

    def __init__(
        self,
        plan: Plan,
        bus: EventBus,
        *,
        make: Callable[[ProcessSpec, str], Service],
        save: Callable[[Plan], None],
        changed: Callable[[], None],
        free_ports: Iterator[int],
        no_room: Callable[[Service, ProcessSpec], str],
        known: Callable[[Service], Awaitable[None]],
    ) -> None:
        self.plan = plan
        self.services: dict[str, Service] = {}
        self.running: dict[str, asyncio.Future[None]] = {}
        self.changes = Changes(bus)
        self._bus = bus
        self._make = make
        self._save = save
        self._changed = changed
        self._free_ports = free_ports
        self._models = _one_of_each(plan)
        self._rolling = Rolling(self, bus, self.changes, no_room=no_room, known=known)
        self._tasks: set[asyncio.Task[None]] = set()

        for spec in plan.processes:
            self.services[spec.name] = make(spec, "")

    def begin(self) -> None:
        """Start what the plan holds."""
        for name, service in self.services.items():
            self.running[name] = asyncio.ensure_future(service.run())

    def act(self, action: ServiceAction, names: list[str], rolling: bool = False, surge: int = 1) -> int:
        """Returns at once, with the id of the change if it is one, else 0.

        UsageError for a name that is not there, and for all but stopping while its pool is being changed.
        """
        pools = {spec.name: spec.pool for spec in self.plan.processes}
        chosen = [self.services[name] for name in resolve(names, pools, self.plan.deployment)]
        if action != "stop":
            self.changes.refuse(service.spec.pool for service in chosen)
        if rolling and action == "restart":
            return self._roll(f"restart of {', '.join(names)}", chosen, surge)
        if action == "restart":
            self._in_background(self._restart_each(chosen))
        for service in chosen if action != "restart" else ():
            service.start() if action == "start" else service.stop()
        return 0

    def apply(self, wanted: Plan, base: str, surge: int = 1) -> int:
        """Change over to another plan; returns at once, with the id of the change.

        `base`: the digest of the plan it was made for. UsageError for what cannot be; then nothing has changed.
        """
        if base != plan_digest(self.plan):
            raise UsageError(f"{self.plan.deployment} has changed meanwhile; apply {wanted.source} again")
        self._refuse_new_frontends(wanted)
        found = difference(self.plan, wanted)
        for spec in found.added:
            if spec.name in self.services:
                raise UsageError(f"{spec.name} has not ended yet; apply {wanted.source} again in a moment")
        pools = {spec.pool: None for spec in (*self.plan.processes, *wanted.processes)}
        change = self.changes.begin(f"apply of {wanted.source}", list(pools))
        models = tuple(model for model in self.plan.models if model in wanted.models)
        self.plan = msgspec.structs.replace(self.plan, source=wanted.source, models=models)
        application = Application(self, self._rolling, change, found, self._next_generation())
        application.begin()
        self._commit(self.plan)
        self._in_background(self._conduct(change, self._apply(application, wanted, surge)))
        return change.id

    def scale(self, replicas: dict[str, int]) -> None:
        """Returns at once. UsageError for what cannot be; then nothing has changed."""
        pools = {spec.pool: spec.pool for spec in self.plan.processes} | {pool: pool for pool in self._models}
        resolve(list(replicas), pools, self.plan.deployment)
        self.changes.refuse(replicas)
        before, plan = self.plan, scaled(self.plan, replicas, self._models, self.other_ports(), taken=self.services)
        self._commit(plan)
        had, has = {spec.name for spec in before.processes}, {spec.name for spec in plan.processes}
        for spec in plan.processes:
            if spec.name not in had:
                self._start(spec)
        for name in had - has:
            self._in_background(self._end(name))
        self._in_order()

    def add(self, spec: ProcessSpec, beside: str = "") -> Service:
        """Start one more, to replace the one called `beside` if that is given."""
        processes = list(self.plan.processes)
        last = next((i for i, one in reversed([*enumerate(processes)]) if beside in (one.name, "")), len(processes))
        processes.insert(last + 1, spec)
        self._commit(msgspec.structs.replace(self.plan, processes=tuple(processes)))
        service = self._start(spec, beside)
        self._in_order()
        return service

    def put(self, spec: ProcessSpec) -> None:
        """The plan has this spec for the process of its name."""
        processes = tuple(spec if one.name == spec.name else one for one in self.plan.processes)
        if processes != self.plan.processes:
            self._commit(msgspec.structs.replace(self.plan, processes=processes))

    async def remove(self, name: str) -> None:
        """End one for good, in order."""
        self._forget(name)
        await self._end(name)

    def other_ports(self) -> Iterator[int]:
        """Ports that are free and not given to any process."""
        used = {port for spec in self.plan.processes for port in spec.ports.values()}
        return (port for port in self._free_ports if port not in used)

    async def close(self) -> None:
        """What was going on in the background ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _roll(self, what: str, chosen: list[Service], surge: int) -> int:
        change = self.changes.begin(what, list(dict.fromkeys(service.spec.pool for service in chosen)))
        generation = self._next_generation()
        steps = [(one, msgspec.structs.replace(one.spec, generation=generation)) for one in chosen]
        self._in_background(self._conduct(change, self._rolling.pools(change, steps, surge)))
        return change.id

    async def _apply(self, application: Application, wanted: Plan, surge: int) -> None:
        try:
            await application.go_on(surge)
        except DynamoError:
            served = dict.fromkeys(spec.model for spec in self.plan.processes if spec.kind == "worker" and spec.model)
            self._commit(msgspec.structs.replace(self.plan, models=tuple(served)))
            raise
        running = {place_of(spec.name): spec for spec in self.plan.processes}
        processes = tuple(running[place_of(spec.name)] for spec in wanted.processes)
        self._models = self._models | _one_of_each(wanted)
        self._commit(msgspec.structs.replace(wanted, processes=processes))
        self._in_order()

    async def _conduct(self, change: Change, work: Awaitable[None]) -> None:
        try:
            await work
        except DynamoError as error:
            self.changes.end(change, str(error))
        except Exception as error:
            logger.exception("%s failed", change.what)
            self.changes.end(change, f"{type(error).__name__}: {error}")
        else:
            self.changes.end(change)
        self._changed()

    def _refuse_new_frontends(self, wanted: Plan) -> None:
        if self._models.get("frontend") is None and any(spec.inherits_listener for spec in wanted.processes):
            name = self.plan.deployment
            raise UsageError(
                f"{name} was started without a frontend and has no port; `dynamo down {name}` and up again"
            )

    def _next_generation(self) -> int:
        return max((spec.generation for spec in self.plan.processes), default=0) + 1

    def _commit(self, plan: Plan) -> None:
        """From now on this is what runs."""
        self._save(plan)
        self.plan = plan

    def _start(self, spec: ProcessSpec, beside: str = "") -> Service:
        service = self.services[spec.name] = self._make(spec, beside)
        self.running[spec.name] = asyncio.ensure_future(service.run())
        return service

    def _forget(self, name: str) -> None:
        processes = tuple(spec for spec in self.plan.processes if spec.name != name)
        self._commit(msgspec.structs.replace(self.plan, processes=processes))

    async def _end(self, name: str) -> None:
        """What is not in the plan any more ends."""
        self.services[name].retire()
        await asyncio.wait({self.running[name]})
        del self.services[name], self.running[name]
        self._changed()

    def _in_order(self) -> None:
        """Services as in the plan, then those that leave."""
        order = [spec.name for spec in self.plan.processes]
        order += sorted(self.services.keys() - set(order))
        self.services.update({name: self.services.pop(name) for name in order})
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


def _one_of_each(plan: Plan) -> dict[str, ProcessSpec]:
    """The first replica of each pool."""
    return {spec.pool: spec for spec in reversed(plan.processes)}

"""Looks at a deployment's processes again and again: often while somebody wants to know, else rarely."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from dynamo_cli.protocol.measures import Traffic, WorkerMeasures
from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.admin_calls import ask_all
from dynamo_cli.supervisor.measuring import serving as worker
from dynamo_cli.supervisor.measuring import traffic as frontends
from dynamo_cli.supervisor.measuring.gpu_use import GpuUse
from dynamo_cli.supervisor.measuring.use import UseMeter
from dynamo_cli.supervisor.measuring.window import Span, Window
from dynamo_cli.supervisor.service import Service

WATCHED_S, UNWATCHED_S = 1.0, 10.0
"""How often it looks; the latter must not be more than the window is long."""
INTEREST_S = 10.0
"""For so long after a question somebody is thought to want to know."""
FRESH_S, FRESH_PATIENCE_S = 2.0, 0.15
"""Numbers older than this are looked at anew before they are told, if that takes no longer than that."""
ALL_FRONTENDS = "/metrics/deployment"
ALL_PATIENCE_S = 2.0
"""Whoever is asked for all frontends waits a second for the others."""
ANSWERING = ("READY", "DEGRADED", "DRAINING")


class Sampler:
    """`run` it until it is cancelled, then `close` it. Nobody waits for what does not answer."""

    def __init__(
        self,
        paths: DeploymentPaths,
        services: Callable[[], Mapping[str, Service]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gpus = GpuUse()
        self._paths = paths
        self._services = services
        self._clock = clock
        self._use = UseMeter()
        self._told: Window[frontends.Told] = Window()
        self._workers: dict[str, Window[worker.Told]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._first = ""
        self._asked_at = self._looked_at = -INTEREST_S
        self._wanted = asyncio.Event()
        self._looked = asyncio.Event()

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            await self._look()
            self._wanted.clear()
            every_s = WATCHED_S if self._is_watched else UNWATCHED_S
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), max(0.0, self._looked_at + every_s - self._clock()))

    async def close(self) -> None:
        """Ask nobody any more."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        await self.gpus.close()

    async def fresh(self) -> None:
        """Somebody wants to know: return when what is known is not old, or in a moment."""
        now = self._clock()
        was_watched, self._asked_at = self._is_watched, now
        if was_watched and now - self._looked_at < FRESH_S:
            return
        self._looked.clear()
        self._wanted.set()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._looked.wait(), FRESH_PATIENCE_S)

    def fill(self, status: DeploymentStatus) -> None:
        """Tell what was seen last."""
        now = self._clock()
        for service in status.services:
            use = self._use.last(service.name)
            service.use = use if service.pid is not None else None
            service.serving = self._serving(service.name, now) if service.kind == "worker" else None
        status.traffic = self._traffic(any(service.role == "prefill" for service in status.services))
        status.measured_gpus = self.gpus.measured(self._services().values())

    @property
    def _is_watched(self) -> bool:
        return self._clock() - self._asked_at < INTEREST_S

    async def _look(self) -> None:
        """Begin to ask everybody who has answered the last question, and wait a moment."""
        self._looked_at = self._clock()
        services = self._services()
        self._forget(set(services))
        for name, service in services.items():
            if service.child is not None:
                self._use.measure(name, service.child.id.pid, self._looked_at)
                if service.spec.kind == "worker" and _answers(service):
                    self._begin(name, self._ask_worker(name, service.child.id.pid))
        self._begin(ALL_FRONTENDS, self._ask_frontends([n for n, s in services.items() if _is_frontend(s)]))
        self._begin("gpus", self.gpus.look(services.values()))
        await asyncio.wait(self._asking.values(), timeout=WATCHED_S / 2)
        self._looked.set()

    def _begin(self, what: str, asking: Coroutine[Any, Any, None]) -> None:
        if what in self._asking:
            asking.close()
            return
        task = self._asking[what] = asyncio.ensure_future(asking)
        task.add_done_callback(lambda _: self._asking.pop(what, None))

    async def _ask_worker(self, name: str, pid: int) -> None:
        (answer,) = await ask_all(self._paths, [name], "/metrics")
        told = worker.told(answer.body)
        if told is not None:
            self._workers.setdefault(name, Window()).add(self._clock(), told, pid)

    async def _ask_frontends(self, names: list[str]) -> None:
        """One of them tells of all; the next time the same one is asked first. While none answers, nothing comes."""
        for name in sorted(names, key=lambda name: name != self._first):
            (answer,) = await ask_all(self._paths, [name], ALL_FRONTENDS, ALL_PATIENCE_S)
            if not answer.problem:
                self._first = name
                self._told.add(self._clock(), frontends.told(answer.body))
                return
        before = self._told.last(self._clock())
        if before is not None:
            self._told.add(self._clock(), before._replace(in_flight=0))

    def _serving(self, name: str, now: float) -> WorkerMeasures | None:
        window = self._workers.get(name)
        last = window.last(now) if window else None
        return worker.serving(last, window.span()) if window and last else None

    def _traffic(self, prefills: bool) -> Traffic | None:
        last = self._told.last(self._clock())
        if last is None:
            return None
        return frontends.traffic(self._told.span() or Span(last, last, 0.0), prefills)

    def _forget(self, known: set[str]) -> None:
        """Of a service that is no more, nothing."""
        self._use.forget(known)
        for name in self._workers.keys() - known:
            del self._workers[name]


def _answers(service: Service) -> bool:
    """Whether it has an admin socket of ours that should answer."""
    return service.spec.probe.kind == "admin" and service.status.state in ANSWERING


def _is_frontend(service: Service) -> bool:
    return service.spec.kind == "frontend" and service.child is not None and _answers(service)

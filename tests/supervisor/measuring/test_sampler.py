"""A sampler and the admin sockets of components that tell what the test lets them tell."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dynamo_cli.frontend.metrics.samples import Samples, add
from dynamo_cli.frontend.metrics.text import write
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.runtime.admin import AdminServer
from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.measuring import sampler as sampling
from dynamo_cli.supervisor.measuring.sampler import ALL_FRONTENDS, FRESH_PATIENCE_S, Sampler
from dynamo_cli.topology.process import Probe
from dynamo_cli.workers.counts import RequestCounts


class Component:
    """One process of the deployment, in this one. A `hung` one takes questions and does not answer."""

    def __init__(self, world: World, name: str, kind: str, role: str | None = None) -> None:
        self.name, self.kind, self.role = name, kind, role
        self.pid: int | None = os.getpid()
        self.life = self.pid
        self.state: Any = "READY"
        self.asked = 0
        self.hung = False
        self.counts = RequestCounts(caches=True)
        self._world = world
        self._server = AdminServer(world.paths.admin_socket(name))
        self._server.route("GET", ALL_FRONTENDS, self._tell)
        self._server.route("GET", "/metrics", self._tell)

    async def start(self) -> None:
        await self._server.start()

    async def close(self) -> None:
        await self._server.close()

    @property
    def service(self) -> Any:
        """As the sampler sees it."""
        spec = SimpleNamespace(name=self.name, kind=self.kind, gpus=(), probe=Probe())
        child = SimpleNamespace(id=SimpleNamespace(pid=self.life)) if self.pid is not None else None
        return SimpleNamespace(spec=spec, child=child, status=self.status)

    @property
    def status(self) -> ServiceStatus:
        role = cast(Any, self.role)
        return ServiceStatus(name=self.name, kind=self.kind, role=role, pid=self.pid, state=self.state)

    def _tell(self, exchange: Exchange) -> None:
        self.asked += 1
        if not self.hung:
            worker = self.counts.series('{model="m"}', WorkerLoad(running=1)).encode()
            exchange.send(200, worker if self.kind == "worker" else self._world.of_frontends)


class World:
    """Frontends have answered `requests` in all."""

    def __init__(self) -> None:
        self.paths = DeploymentPaths("test")
        self.paths.ensure()
        self.components: dict[str, Component] = {}
        self.requests = 0
        self.sampler = Sampler(self.paths, lambda: {n: c.service for n, c in self.components.items()})
        self._running: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._running = asyncio.ensure_future(self.sampler.run())

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self.sampler.close()
        for component in self.components.values():
            await component.close()

    async def add(self, name: str, kind: str, role: str | None = None) -> Component:
        component = self.components[name] = Component(self, name, kind, role)
        await component.start()
        return component

    @property
    def of_frontends(self) -> bytes:
        samples: Samples = {}
        add(samples, "requests_total", ("m", "chat_completions", "unary", "success", ""), self.requests)
        add(samples, "inflight_requests", ("m",), 3)
        return write(samples)

    def status(self) -> DeploymentStatus:
        services = [component.status for component in self.components.values()]
        status = DeploymentStatus(deployment="test", state="READY", services=services)
        self.sampler.fill(status)
        return status

    async def until_told(self, told: Any) -> DeploymentStatus:
        """Looks as `dynamo top` does until `told` of the status is true."""
        deadline = time.monotonic() + 5.0
        while True:
            await self.sampler.fresh()
            status = self.status()
            if told(status):
                return status
            assert time.monotonic() < deadline, status
            await asyncio.sleep(0.01)


@pytest.fixture
async def world(clean_environment: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(sampling, "WATCHED_S", 0.05)
    world = World()
    yield world
    await world.close()


def serving(status: DeploymentStatus, name: str) -> Any:
    return next(service for service in status.services if service.name == name).serving


async def test_it_tells_what_components_told(world: World) -> None:
    frontend, worker = await world.add("frontend-0", "frontend"), await world.add("decode-0", "worker")
    world.begin()
    await world.until_told(lambda status: status.traffic and serving(status, "decode-0"))
    world.requests = 7
    worker.counts.output = 90
    status = await world.until_told(lambda s: s.traffic.requests_s and serving(s, "decode-0").output_tokens_s)
    assert status.traffic is not None
    assert (status.traffic.requests_total, status.traffic.in_flight, status.traffic.transfers) == (7, 3, None)
    assert serving(status, "decode-0").running == 1
    assert serving(status, "frontend-0") is None
    assert all(service.use and service.use.memory > 0 for service in status.services)
    assert frontend.asked > 1


async def test_one_frontend_is_asked_for_all_and_another_one_when_it_does_not_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "ALL_PATIENCE_S", 0.1)
    one, two = await world.add("frontend-0", "frontend"), await world.add("frontend-1", "frontend")
    world.begin()
    await world.until_told(lambda status: status.traffic and one.asked > 2)
    assert two.asked == 0
    one.hung, world.requests = True, 5
    status = await world.until_told(lambda status: status.traffic.requests_total == 5)
    assert two.asked > 0 and status.traffic is not None
    asked = one.asked
    await world.until_told(lambda _: two.asked > 3)
    assert one.asked == asked


async def test_without_frontends_totals_stay_and_nothing_is_in_flight(world: World) -> None:
    frontend = await world.add("frontend-0", "frontend")
    world.begin()
    world.requests = 5
    await world.until_told(lambda status: status.traffic and status.traffic.requests_total == 5)
    frontend.pid, frontend.state = None, "BACKOFF"
    status = await world.until_told(lambda status: not status.traffic.in_flight)
    assert status.traffic is not None and status.traffic.requests_total == 5
    assert status.services[0].use is None


@pytest.mark.alone
async def test_what_hangs_holds_up_neither_the_status_nor_what_others_tell(world: World) -> None:
    hung = await world.add("decode-0", "worker")
    well = await world.add("decode-1", "worker")
    hung.hung = True
    world.begin()
    began = time.monotonic()
    await world.sampler.fresh()
    assert time.monotonic() - began < FRESH_PATIENCE_S + 0.2
    status = await world.until_told(lambda status: serving(status, "decode-1"))
    assert serving(status, "decode-0") is None
    asked = well.asked
    await world.until_told(lambda _: well.asked > asked + 1)
    assert hung.asked == 1, "nobody is asked again who has not answered yet"


async def test_a_restarted_worker_begins_anew_and_no_rate_is_negative(world: World) -> None:
    worker = await world.add("decode-0", "worker")
    worker.counts.output = 1000
    world.begin()
    await world.until_told(lambda status: serving(status, "decode-0") and serving(status, "decode-0").requests_s == 0)
    worker.counts.output, worker.life = 3, os.getppid()
    status = await world.until_told(lambda status: serving(status, "decode-0").output_tokens_s is None)
    assert serving(status, "decode-0").running == 1
    status = await world.until_told(lambda status: serving(status, "decode-0").output_tokens_s is not None)
    assert serving(status, "decode-0").output_tokens_s == 0


async def test_workers_that_load_or_are_not_ours_are_not_asked(world: World) -> None:
    loading = await world.add("decode-0", "worker")
    loading.state = "LOADING"
    service = await world.add("cache", "service")
    ready = await world.add("decode-1", "worker")
    world.begin()
    await world.until_told(lambda _: ready.asked > 1)
    assert loading.asked == service.asked == 0


async def test_while_nobody_wants_to_know_it_looks_rarely_and_then_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "INTEREST_S", 0.0)
    worker, frontend = await world.add("decode-0", "worker"), await world.add("frontend-0", "frontend")
    world.sampler = Sampler(world.paths, lambda: {n: c.service for n, c in world.components.items()})
    world.begin()
    while not (worker.asked and frontend.asked):
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.2)
    assert worker.asked == 1, "it looked again although nobody asked"
    world.requests = 9
    await world.sampler.fresh()
    status = world.status()
    assert status.traffic is not None and status.traffic.requests_total == 9


async def test_a_service_that_is_no_more_is_forgotten(world: World) -> None:
    gone, stays = await world.add("decode-0", "worker"), await world.add("decode-1", "worker")
    world.begin()
    await world.until_told(lambda status: serving(status, "decode-0"))
    del world.components["decode-0"]
    asked = stays.asked
    await world.until_told(lambda _: stays.asked > asked + 1)
    again = world.components["decode-0"] = gone
    again.state = "LOADING"
    assert serving(world.status(), "decode-0") is None

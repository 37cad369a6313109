"""A router process from start to drain: it follows workers and frontends as a frontend does, and answers questions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dynamo_cli.errors import DynamoError, ModelMissing
from dynamo_cli.protocol.instance import EndpointId
from dynamo_cli.protocol.router_service import (
    BEST_WORKER,
    DUMP_EVENTS,
    OVERLAP_SCORES,
    POTENTIAL_LOADS,
    ROUTER,
    DumpQuestion,
    RoutingQuestion,
)
from dynamo_cli.routing.kv_feed import KvFeed
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.routing.placing import Placer
from dynamo_cli.routing.registry import ModelRegistry, RoutedModel
from dynamo_cli.routing.router_view import RouterView
from dynamo_cli.routing.service.adviser import ModelAdviser
from dynamo_cli.routing.service.metrics import metrics
from dynamo_cli.routing.shared_sequences import SharedSequences
from dynamo_cli.runtime.admin import AdminServer
from dynamo_cli.runtime.config import RuntimeConfig
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.endpoint import ServedEndpoint
from dynamo_cli.runtime.requests.base import Handler
from dynamo_cli.runtime.runtime import DistributedRuntime
from dynamo_cli.runtime.signals import StopSignals, until

log = logging.getLogger("dynamo.router")
WARM_S = 3.0
"""It is there for frontends once it knows what workers and frontends hold, or after so long."""
LOOK_S = 0.01
EXPIRE_S = 0.5
DRAIN_S = 2.0


@dataclass(frozen=True)
class RouterOptions:
    """`endpoint`: route the workers there alone; None routes all of the runtime's namespace."""

    runtime: RuntimeConfig
    kv: KvRoutingOptions
    endpoint: EndpointId | None = None


class RouterProcess:
    """What it knows and answers, without sockets of its own: `start`, `serve`, then `drain` and `close`."""

    def __init__(self, runtime: DistributedRuntime, options: RouterOptions) -> None:
        self.advisers: dict[str, ModelAdviser] = {}
        self.shared = SharedSequences(lambda: runtime.events, runtime.instance_id)
        self.asked: dict[str, int] = {}
        self._runtime = runtime
        self._options = options
        self._feed = KvFeed(lambda: runtime.events)
        self._served: list[ServedEndpoint] = []
        self._expiring: asyncio.Task[None] | None = None
        self._registry = ModelRegistry(
            runtime,
            namespace=runtime.config.namespace,
            namespace_prefix=runtime.config.namespace_prefix,
            endpoint=options.endpoint,
            on_change=self._model_changed,
        )

    def placers(self) -> Iterable[Placer]:
        return [adviser.placer for adviser in self.advisers.values()]

    async def start(self) -> None:
        """Follow everybody, and know what there is."""
        if self._options.kv.replica_sync:
            self.shared.start()
        self._expiring = asyncio.create_task(self._expire())
        await self._registry.start()
        left = int(WARM_S / LOOK_S)
        while left and not self._is_warm():
            left -= 1
            await asyncio.sleep(LOOK_S)
        if not left:
            log.warning(
                "not all workers and frontends have told what they hold in %g s: it is taken for nothing", WARM_S
            )

    async def serve(self) -> None:
        await self._serve(BEST_WORKER, RoutingQuestion, lambda asked: [self._adviser(asked).best_worker(asked)])
        await self._serve(OVERLAP_SCORES, RoutingQuestion, lambda asked: self._adviser(asked).overlap_scores(asked))
        await self._serve(POTENTIAL_LOADS, RoutingQuestion, lambda asked: self._adviser(asked).potential_loads(asked))
        await self._serve(DUMP_EVENTS, DumpQuestion, self._dump)

    async def drain(self) -> None:
        """Be asked no more; what is being answered is answered."""
        await asyncio.gather(*(served.drain(DRAIN_S) for served in self._served))

    async def close(self) -> None:
        if self._expiring is not None:
            self._expiring.cancel()
            await asyncio.wait([self._expiring])
        await self._registry.close()
        await self._feed.close()
        await self.shared.close()

    async def _serve(self, name: str, kind: Any, answer: Callable[[Any], Iterable[Any]]) -> None:
        endpoint = self._runtime.namespace().component(ROUTER).endpoint(name)
        self.asked[name] = 0
        self._served.append(await endpoint.serve(self._handler(name, answer), request_type=kind))

    def _handler(self, name: str, answer: Callable[[Any], Iterable[Any]]) -> Handler:
        async def handle(question: Any, context: Context) -> AsyncIterator[Any]:
            if not context.stopped:  # who asked has gone on without it
                self.asked[name] += 1
                for one in answer(question):
                    yield one

        return handle

    def _adviser(self, question: RoutingQuestion) -> ModelAdviser:
        adviser = self.advisers.get(question.model)
        if adviser is None:
            raise self._unknown(question.model)
        return adviser

    def _unknown(self, model: str) -> ModelMissing:
        names = ", ".join(self.advisers) or "none"
        return ModelMissing(f"this router knows no workers of model {model!r}; models it routes: {names}")

    def _dump(self, question: DumpQuestion) -> Iterable[Any]:
        if question.model and question.model not in self.advisers:
            raise self._unknown(question.model)
        for name, adviser in list(self.advisers.items()):
            if question.model in ("", name):
                yield from adviser.dump()

    def _is_warm(self) -> bool:
        told = [
            self._feed.has_all(worker, endpoint)
            for adviser in self.advisers.values()
            for worker, endpoint in adviser.placer.followed.items()
        ]
        heard = self.shared.is_open or not self._options.kv.replica_sync
        return heard and all(told) and all(self.shared.routers().values())

    def _model_changed(self, model: RoutedModel) -> None:
        adviser = self.advisers.get(model.name)
        if adviser is not None:
            adviser.placer.workers_changed()
        elif model.identity is not None and model.base is None:  # who asks for an adapter names its base
            self.advisers[model.name] = ModelAdviser(model, self._options.kv, self._feed, self.shared)

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_S)
            for adviser in self.advisers.values():
                adviser.expire()


class RouterHost:
    """`run` is the whole life of `dynamo router`."""

    def __init__(self, options: RouterOptions) -> None:
        self._options = options
        config = options.runtime
        self._admin = AdminServer(config.paths.admin_socket(config.service))

    async def run(self) -> bool:
        """Serve until SIGTERM or SIGINT; False when a second signal cut the draining short. Raises DynamoError."""
        paths = self._options.runtime.paths
        paths.ensure()
        await self._admin.start()
        with StopSignals() as signals:
            try:
                async with await DistributedRuntime.create(self._options.runtime) as runtime:
                    await self._live(RouterProcess(runtime, self._options), runtime, signals)
            except DynamoError as error:
                self._admin.set_health("failed", str(error))
                raise
            finally:
                await self._admin.close()
                paths.tidy()
            return not signals.forced.is_set()

    async def _live(self, router: RouterProcess, runtime: DistributedRuntime, signals: StopSignals) -> None:
        RouterView(router.placers, router.shared, "kv").add_to(self._admin.route)
        self._admin.metrics = lambda: metrics(router.advisers, router.asked)
        self._admin.set_health("loading", "learning what workers and frontends hold")
        try:
            await until(signals.asked, router.start())
            if not signals.asked.is_set():
                await until(signals.asked, router.serve())
            if not signals.asked.is_set():
                instance = f"{runtime.instance_id:x}"
                self._admin.set_health("ready", instance=instance)
                log.info("serving at %s.%s as %s", runtime.config.namespace, ROUTER, instance)
                await signals.asked.wait()
                self._admin.set_health("draining")
                await until(signals.forced, router.drain())
        finally:
            await router.close()

"""A frontend: HTTP server, routes, models and the runtime, from start to drain."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

from dynamo_cli.disagg.options import DEFAULT as DEFAULT_DISAGG
from dynamo_cli.disagg.options import DisaggOptions
from dynamo_cli.frontend.busy_threshold import BusyThresholdRoutes
from dynamo_cli.frontend.conditional_disagg import ConditionalDisaggRoutes, shared_conditional
from dynamo_cli.frontend.embeddings import Embedder
from dynamo_cli.frontend.following import Following
from dynamo_cli.frontend.gate import Gate
from dynamo_cli.frontend.generate import Generator
from dynamo_cli.frontend.handing_over import LISTENER_PATH, HandingOver
from dynamo_cli.frontend.intake import Intake
from dynamo_cli.frontend.journal import Journal
from dynamo_cli.frontend.keepalive import KeepAliveOptions
from dynamo_cli.frontend.memory import DEFAULT_KEPT, Memory
from dynamo_cli.frontend.memory_view import MemoryView
from dynamo_cli.frontend.metrics.endpoint import MetricsEndpoint
from dynamo_cli.frontend.metrics.kept import Kept
from dynamo_cli.frontend.metrics.options import MetricsOptions
from dynamo_cli.frontend.models import Models
from dynamo_cli.frontend.peers import Peers
from dynamo_cli.frontend.routes import Routes
from dynamo_cli.frontend.unseen import Unseen
from dynamo_cli.protocol.load import NO_THRESHOLDS, BusyThresholds
from dynamo_cli.routing.asking import RouterService
from dynamo_cli.routing.kv_feed import KvFeed
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.routing.migration import MigrationOptions
from dynamo_cli.routing.modes import DEFAULT_MODE, Disagg
from dynamo_cli.routing.registry import ModelRegistry, RoutedModel
from dynamo_cli.routing.router_view import RouterView
from dynamo_cli.routing.shared_sequences import SharedSequences
from dynamo_cli.routing.thresholds import SharedThresholds, Thresholds
from dynamo_cli.runtime.http.limits import Limits
from dynamo_cli.runtime.http.server import HttpServer
from dynamo_cli.runtime.runtime import DistributedRuntime

LOADED_S = 30.0
"""How long a frontend that comes beside others leaves their port to them while it loads what they serve already."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrontendOptions:
    """`model` is the only one to serve, None serves all. `grace_s`: for requests in flight at shutdown.

    `router_service`, in mode kv: let the router process of the namespace choose the workers, while there is one.

    `gate` and `tls` are for the public port alone. `thresholds` can be changed later, unless `admin_api` is off.
    `kept_requests`: how many are remembered for whoever asks how they went.
    """

    router_mode: str = DEFAULT_MODE
    kv: KvRoutingOptions = field(default_factory=KvRoutingOptions)
    router_service: bool = False
    model: str | None = None
    grace_s: float = 5.0
    limits: Limits = field(default_factory=Limits)
    migration: MigrationOptions = field(default_factory=MigrationOptions)
    disagg: DisaggOptions = DEFAULT_DISAGG
    thresholds: BusyThresholds = NO_THRESHOLDS
    admin_api: bool = True
    keep_alive: KeepAliveOptions = field(default_factory=KeepAliveOptions)
    metrics: MetricsOptions = field(default_factory=MetricsOptions)
    gate: Gate = field(default_factory=Gate)
    tls: ssl.SSLContext | None = None
    following: Following = field(default_factory=Following)
    kept_requests: int = DEFAULT_KEPT


class Frontend:
    """Serves as soon as the models that have workers now are loaded, at once when there are none.

    `start`, then `drain` and `close`, in the runtime's event loop.
    """

    def __init__(self, runtime: DistributedRuntime, options: FrontendOptions) -> None:
        self._runtime = runtime
        self._options = options
        self._shared = SharedSequences(lambda: runtime.events, runtime.instance_id)
        self.peers = Peers(runtime, self._other_came)
        thresholds = Thresholds(options.thresholds)
        self.thresholds = SharedThresholds(runtime, thresholds)
        self.conditional = shared_conditional(runtime, options.disagg.conditional)
        self._feed = KvFeed(lambda: runtime.events)
        self._service = RouterService(self._shared.router_id) if options.router_service else None
        kv = options.kv, self._feed, self._shared, self._service, Disagg(options.disagg, self.conditional.settings.of)
        self.models = Models(options.router_mode, options.migration, options.metrics.buckets, thresholds, *kv)
        self.registry = ModelRegistry(
            runtime,
            namespace=runtime.config.namespace,
            namespace_prefix=runtime.config.namespace_prefix,
            only=options.model,
            on_change=self._model_changed,
            prepare=self.models.prepare,
        )
        thresholds.on_change = self.conditional.settings.on_change = self._loads_matter
        self.unseen = Unseen(self.registry, runtime.config, options.model, self.peers.sockets)
        self._announcing: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self.metrics = MetricsEndpoint(
            self.models, self.peers, Kept(self.peers.own.counts_file), self.unseen, options.metrics.prefix
        )
        intake = Intake(self.models, options.following.sample)
        generator, embedder = Generator(intake, options.keep_alive), Embedder(intake)
        busy = BusyThresholdRoutes(self.models, self.thresholds) if options.admin_api else None
        live = ConditionalDisaggRoutes(self.models, self.conditional, options.disagg.enforce)
        conditional = live if options.admin_api else None
        routes = Routes(
            self.models, self.registry, generator, embedder, self.metrics, busy, conditional, options.gate.asks_keys
        )
        self.routes = routes.table
        RouterView(self.models.placers, self._shared, options.router_mode, self._beside_routing).add_to(self.routes.add)
        self.memory = Memory(options.kept_requests, lambda: self.server.exchanges())
        MemoryView(self.memory, self.peers.own.name, options.router_mode).add_to(self.routes.add)
        listeners = options.following.listeners + ((self.memory.ended,) if options.kept_requests else ())
        ended = Journal(listeners).ended if listeners else None
        self.server = routes.server = HttpServer(routes.handle, options.limits, options.gate.admit, options.tls, ended)

    def _beside_routing(self) -> dict[str, Any]:
        """What GET /router tells besides."""
        beside: dict[str, Any] = {
            "unseen": {name: one._asdict() for name, one in self.unseen.workers.items()},
            "prefills": {one.model.name: one.counts.view() for one in self.models.remotes() if not one.dormant},
            "refused": {one.service: one.reason for one in self.registry.refused},
        }
        if self._service is not None:
            beside["asks"] = {"router": self._service.asked_now(), **self._service.counts}
        return beside

    async def start(self, listener: socket.socket, *, shared: bool = False, admin: bool = True) -> None:
        """Serve on `listener`, which other processes accept from too when it is `shared`, and on the admin socket."""
        await self.peers.start(os.fstat(listener.fileno()).st_ino if shared else 0)
        await self.thresholds.start()
        await self.conditional.start()
        if self._service is not None:
            self._shared.start()
            await self._service.start(self._runtime)
        await self.registry.start()
        await self.models.loaded(LOADED_S)
        config = self._runtime.config
        self.metrics.start()
        if admin:
            config.paths.ensure()
            if shared:
                self.routes.add("POST", LISTENER_PATH, HandingOver(listener, config.paths.handover_socket).post)
            await self.server.listen_unix(config.paths.admin_socket(config.service))
            self._announcing = asyncio.create_task(self.peers.announce())
            await asyncio.sleep(0)  # it is known to the others now, or its disk is full
            self._looking = asyncio.create_task(self.unseen.run())
        self.server.listen(listener, self.peers.rivals)

    async def drain(self) -> None:
        """Take nothing new; requests in flight have the grace period to finish."""
        await self.server.drain(self._options.grace_s)

    async def retire(self) -> None:
        """Another frontend takes over: requests in flight have as long as they need."""
        await self.server.retire()

    async def close(self) -> None:
        begun = [task for task in (self._announcing, self._looking) if task is not None]
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        await self.server.close()
        self.metrics.close()
        await self.thresholds.close()
        await self.conditional.close()
        await self.peers.close()
        await self.models.close()
        if self._service is not None:
            await self._service.close()
        await self._feed.close()
        await self._shared.close()
        await self.registry.close()
        self._runtime.config.paths.tidy()

    def _other_came(self) -> None:
        options = self._options
        if options.router_mode == "kv" and options.kv.replica_sync:
            self._shared.start()

    def _model_changed(self, model: RoutedModel) -> None:
        self.models.changed(model)
        self._follow_loads(model)

    def _loads_matter(self, name: str) -> None:
        model = self.registry.models.get(name)
        if model is not None:
            self._follow_loads(model)

    def _follow_loads(self, model: RoutedModel) -> None:
        conditional = self.conditional.settings.of(model.name) is not None
        model.follow_loads(conditional or self.thresholds.thresholds.judge(model.name))

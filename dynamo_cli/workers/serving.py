"""A loaded engine behind the request plane: from its registration to the end of its last request."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator

from msgspec.structs import replace

from dynamo_cli.errors import Draining, DynamoError, EngineFailed
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.instance import Instance, ModelCard
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.endpoint import ServedEndpoint
from dynamo_cli.runtime.requests.base import Handler
from dynamo_cli.runtime.runtime import DistributedRuntime
from dynamo_cli.runtime.signals import StopSignals, until
from dynamo_cli.runtime.spans import Spans
from dynamo_cli.workers.adapters import Adapters
from dynamo_cli.workers.admission import admit
from dynamo_cli.workers.arguments import WorkerArguments
from dynamo_cli.workers.canary import Canary, canary_request
from dynamo_cli.workers.counts import RequestCounts
from dynamo_cli.workers.embedding import Answering, answering
from dynamo_cli.workers.engine import Engine
from dynamo_cli.workers.handling import handled
from dynamo_cli.workers.kv_events import BLOCKS_PATH, KvEventTeller
from dynamo_cli.workers.limit import RequestLimit
from dynamo_cli.workers.load import LoadReport
from dynamo_cli.workers.loading import Loaded
from dynamo_cli.workers.media.fetch import fetching
from dynamo_cli.workers.registration import Registration
from dynamo_cli.workers.resting import Resting
from dynamo_cli.workers.system.controls import ControlRoutes
from dynamo_cli.workers.system.loras import LoraRoutes
from dynamo_cli.workers.system.metrics import WorkerMetrics
from dynamo_cli.workers.system.server import SystemServer

_log = logging.getLogger("dynamo.worker")
_LAST_S = 1.0
"""An engine has at least so long when the requests took all the time."""


class Serving:
    """`run` it once."""

    def __init__(
        self,
        loaded: Loaded,
        arguments: WorkerArguments,
        runtime: DistributedRuntime,
        system: SystemServer,
        spans: Spans | None,
    ) -> None:
        self._loaded = loaded
        self._arguments = arguments
        self._runtime = runtime
        self._system = system
        self._spans = spans
        limit, queue = arguments.request_limit, arguments.request_queue
        self._limit = None if limit is None else RequestLimit(limit, queue)
        self._counts = RequestCounts(loaded.info.prefix_caching)
        self._canary: Canary | None = None
        self._teller: KvEventTeller | None = None
        self._began = time.monotonic()

    async def run(self, signals: StopSignals) -> None:
        """Until it is asked to stop. Raises EngineFailed when the engine dies before."""
        await until(signals.asked, self._join())
        if signals.asked.is_set():
            return
        card = self._card
        self._start_canary()
        self._open_system(card)
        _log.info("serving %s at %s as %s", card.name, card.instance.endpoint, card.instance.hex_id)
        death = await until(signals.asked, self._loaded.engine.failed())
        if self._canary is not None:
            await self._canary.close()
        await self._registration.end()
        if death is not None:
            raise EngineFailed(death)
        await self._drain(self._served, signals)

    async def _join(self) -> None:
        """Be found by clients; takes as long as the disk of discovery is full."""
        loaded = self._loaded
        facts = {"model": loaded.model_name, "engine": loaded.engine_name}
        self._system.set_health("loading", "registering", phase="registering", **facts)
        self._served = await self._serve_endpoint()
        self._registration = Registration(self._served, self._runtime.discovery, self._tell_health)
        self._card = card = loaded.card(self._served.instance, self._runtime.config.generation)
        self._adapters = self._make_adapters(card)
        await self._start_telling(self._served.instance)
        for name, path in self._arguments.adapters.items():
            await self._adapters.load(name, path)
        await self._registration.begin(card)

    async def _serve_endpoint(self) -> ServedEndpoint:
        endpoint = self._runtime.endpoint(self._arguments.endpoint_name)
        self._report = load = LoadReport(self._loaded.engine, lambda: served.inflight)
        served = await endpoint.serve(self._handler(load), request_type=EngineRequest, register=False)
        served.report(load.read)
        return served

    def _make_adapters(self, card: ModelCard) -> Adapters:
        loaded = self._loaded
        return Adapters(loaded.engine, loaded.engine_name, loaded.info, card, self._registration)

    async def _start_telling(self, instance: Instance) -> None:
        if self._loaded.info.kv_events:
            self._teller = KvEventTeller()
            await self._teller.start(self._loaded.engine, self._runtime.events, instance.endpoint)
            self._system.route("GET", BLOCKS_PATH, self._teller.show)

    def _start_canary(self) -> None:
        options, loaded = self._arguments.canary, self._loaded
        if options.enabled:
            request = canary_request(loaded.model_name, loaded.info, options)
            self._canary = Canary(answering(loaded.engine, loaded.info), request, self._registration, options)
            self._canary.start()

    def _open_system(self, card: ModelCard) -> None:
        loaded, system = self._loaded, self._system
        endpoint = card.instance.endpoint
        labels = {
            "model": card.name,
            "engine": card.engine,
            "dynamo_namespace": endpoint.namespace,
            "dynamo_component": endpoint.component,
            "dynamo_endpoint": endpoint.endpoint,
        }
        metrics = WorkerMetrics(labels, lambda: self._series(metrics.labels), loaded.engine.metrics)
        system.metrics = metrics.text
        resting = Resting(loaded.engine, self._registration, self._served, self._arguments.grace_s)
        system.serve(ControlRoutes(card.engine, loaded.info.controls, resting), LoraRoutes(self._adapters))
        self._tell_health()

    def _tell_health(self) -> None:
        why, card, instance = self._registration.why_out, self._card, self._card.instance
        place = {"endpoint": str(instance.endpoint), "store": self._arguments.runtime.store}
        facts = {"model": card.name, "engine": card.engine, "role": card.role, "instance": instance.hex_id}
        self._system.set_health("notready" if why else "ready", why, **facts, **place)

    def _series(self, labels: str) -> str:
        return (
            f"{self._counts.series(labels, self._load())}"
            "# TYPE dynamo_component_inflight_requests gauge\n"
            f"dynamo_component_inflight_requests{labels} {self._served.inflight}\n"
            "# TYPE dynamo_component_uptime_seconds gauge\n"
            f"dynamo_component_uptime_seconds{labels} {time.monotonic() - self._began:.3f}\n"
            f"{self._limit.metrics() if self._limit else ''}"
            f"{self._teller.metrics(labels) if self._teller else ''}"
            f"{self._canary.metrics(labels) if self._canary else ''}"
        )

    def _load(self) -> WorkerLoad:
        """Of an engine that cannot tell, all that it was given runs. Those that wait for it wait, too."""
        before_it = self._limit.gate.waiting if self._limit is not None else 0
        load = self._report.now() or WorkerLoad(running=self._served.inflight - before_it)
        return replace(load, waiting=load.waiting + before_it)

    def _handler(self, load: LoadReport) -> Handler:
        loaded, spans, limit = self._loaded, self._spans, self._limit
        info, watched = loaded.info, self._arguments.canary.enabled
        generate = self._at_its_turn(answering(loaded.engine, info))
        with_media = fetching(generate, self._arguments.media)

        def handle(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
            if request.let_go is not None:
                return _let_go(loaded.engine, request.let_go)
            self._counts.requests += not request.probe
            _log.debug("request %s: %d prompt tokens", context.id, len(request.token_ids))
            load.begin()
            request = admit(request, info)
            self._check_place(request.model)
            answer = with_media if request.media else generate
            deltas = answer(request, context) if limit is None else limit.generate(answer, request, context)
            if watched and self._canary is not None:
                deltas = self._canary.listening(deltas)
            if not request.probe:
                deltas = self._counts.counted(deltas, request)
            return deltas if spans is None else handled(spans, deltas, request, context)

        return handle

    def _at_its_turn(self, generate: Answering) -> Answering:
        """A request may have waited, for others or its media: by now its adapter may be gone."""

        def begin(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
            self._check_adapter(request.model)
            return generate(request, context)

        return begin

    def _check_place(self, model: str) -> None:
        """Raises Draining, after which another worker is tried, for what has come too late for this one."""
        if self._registration.resting:
            raise Draining(f"the worker rests: {self._registration.why_out}")
        self._check_adapter(model)

    def _check_adapter(self, model: str) -> None:
        if self._loaded.info.max_adapters and model != self._card.name and model not in self._adapters:
            raise Draining(f"this worker does not serve {model!r} now; it serves {self._served_names()}")

    def _served_names(self) -> str:
        return ", ".join([self._card.name, *(adapter.name for adapter in self._adapters)])

    async def _drain(self, served: ServedEndpoint, signals: StopSignals) -> None:
        running = served.inflight
        self._system.set_health("draining", f"{running} requests in flight")
        if running:
            _log.info("draining: %d requests in flight have %g s", running, self._arguments.grace_s)
        await until(signals.forced, self._finish(served, self._arguments.grace_s))

    async def _finish(self, served: ServedEndpoint, grace_s: float) -> None:
        """Requests and the engine have the same time. An engine that cannot drain, or never has, harms no request."""
        draining = asyncio.ensure_future(self._loaded.engine.drain())
        until_s = time.monotonic() + grace_s
        try:
            await served.drain(grace_s)
            await asyncio.wait({draining}, timeout=max(_LAST_S, until_s - time.monotonic()))
            if not draining.done():
                _log.warning("the engine has not drained in %g s", grace_s)
            elif not draining.cancelled() and (error := draining.exception()) is not None:
                _log.error("the engine could not drain: %s", error, exc_info=_unforeseen(error))
        finally:
            draining.cancel()


def _unforeseen(error: BaseException) -> BaseException | None:
    """With its traceback, unless its line says what there is to say."""
    return None if isinstance(error, DynamoError) else error


async def _let_go(engine: Engine, handover: Handover) -> AsyncIterator[Delta]:
    await engine.let_go(handover)
    yield Delta(finish_reason="stop")

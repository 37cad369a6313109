"""The worker host: everything around an engine that is the same for all of them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import msgspec

from dynamo_cli.errors import DynamoError, EngineFailed, EngineMissing, UsageError
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.instance import Instance, ModelCard, ModelIdentity
from dynamo_cli.runtime.admin import AdminServer
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.endpoint import ServedEndpoint
from dynamo_cli.runtime.requests.base import Handler
from dynamo_cli.runtime.runtime import DistributedRuntime, parse_endpoint
from dynamo_cli.runtime.spans import Spans, open_spans
from dynamo_cli.workers.admission import admit
from dynamo_cli.workers.arguments import WorkerArguments
from dynamo_cli.workers.engine import Engine, EngineInfo
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.arguments import convert_options
from dynamo_cli.workers.engines.base import EngineLaunch, EngineSpec
from dynamo_cli.workers.handling import handled
from dynamo_cli.workers.kv_events import KvEventTeller
from dynamo_cli.workers.limit import RequestLimit
from dynamo_cli.workers.load import LoadReport
from dynamo_cli.workers.model import PreparedModel, prepare_model, readable
from dynamo_cli.workers.selftest import generate_one_token
from dynamo_cli.workers.signals import StopSignals, until

_log = logging.getLogger("dynamo.worker")
SPANS_S = 2.0
"""What is left of them has so long to be sent when the worker ends."""


@dataclass(frozen=True)
class Loaded:
    """An engine that has proved itself, and what the model card says of it."""

    engine: Engine
    engine_name: str
    info: EngineInfo
    model_name: str
    model: PreparedModel | None = None

    def card(self, instance: Instance) -> ModelCard:
        info, model = self.info, self.model if self.info.input == "tokens" else None
        return ModelCard(
            name=self.model_name,
            identity=ModelIdentity(
                text_digest=model.text_digest if model else "",
                kv_block_size=info.kv_block_size,
                input=info.input,
                resumes=info.resumes,
            ),
            instance=instance,
            engine=self.engine_name,
            context_length=info.context_length,
            total_kv_blocks=info.total_kv_blocks,
            max_num_seqs=info.max_num_seqs,
            max_num_batched_tokens=info.max_num_batched_tokens,
            text_path=model.text_path if model else "",
            logprobs=info.logprobs,
            guided=info.guided,
            kv_events=info.kv_events,
            prefix_caching=info.prefix_caching,
            types=("chat", "completions") if model is None or model.has_template else ("completions",),
        )


class WorkerHost:
    def __init__(self, arguments: WorkerArguments, environ: Mapping[str, str] = os.environ) -> None:
        self._arguments = arguments
        self._environ = environ
        config = arguments.runtime
        self._admin = AdminServer(config.paths.admin_socket(config.service))
        self._engine: Engine | None = None
        limit, queue = arguments.request_limit, arguments.request_queue
        self._limit = None if limit is None else RequestLimit(limit, queue)
        self._requests = 0
        self._spans: Spans | None = None

    async def run(self) -> bool:
        """Serve until SIGTERM or SIGINT; False when a second signal cut the draining short.

        Raises a DynamoError with one clear line when the worker cannot start or its engine dies.
        """
        parse_endpoint(self._arguments.endpoint_name)
        self._spans = open_spans(self._environ)
        self._arguments.runtime.paths.ensure()
        await self._admin.start()
        with StopSignals() as signals:
            try:
                loaded = await until(signals.asked, self._load())
                if loaded is not None:
                    await self._serve(loaded, signals)
            except DynamoError as error:
                self._admin.set_health("failed", str(error))
                raise
            finally:
                if self._engine is not None:
                    await self._engine.stop()
                await self._admin.close()
                if self._spans is not None:
                    self._spans.close(SPANS_S)
                self._arguments.runtime.paths.tidy()
            return not signals.forced.is_set()

    async def _load(self) -> Loaded:
        arguments = self._arguments
        self._admin.set_health("loading", "looking for the model")
        spec, model = await self._choose()
        name = arguments.model_name or (model.name if model else spec.name)
        launch = self._launch(spec, model, name)
        self._engine = engine = spec.create(launch)
        self._admin.set_health("loading", f"{spec.name} is loading {name}", model=name, engine=spec.name)
        began = time.monotonic()
        info = await engine.start()
        self._admin.set_health("loading", "generating a first token", model=name, engine=spec.name)
        await generate_one_token(engine, info, name)
        _log.info("%s loaded %s in %.1f s", spec.name, name, time.monotonic() - began)
        return Loaded(engine, spec.name, info, name, model)

    async def _choose(self) -> tuple[EngineSpec, PreparedModel | None]:
        wanted = self._arguments.engine
        if wanted != "auto":
            spec = registry.spec(wanted)
            why_not = spec.available()
            if why_not is not None:
                raise EngineMissing(why_not)
            if not spec.needs_model:
                return spec, None
            return spec, await self._readable(spec, await asyncio.to_thread(prepare_model, self._arguments.model))
        model = await asyncio.to_thread(prepare_model, self._arguments.model)
        gpus = len([gpu for gpu in self._environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu])
        spec, reason = registry.choose(gpus, model.kind)
        _log.info("engine %s", reason)
        return spec, await self._readable(spec, model)

    async def _readable(self, spec: EngineSpec, model: PreparedModel) -> PreparedModel:
        if spec.formats and model.kind not in spec.formats:
            self._admin.set_health("loading", f"converting {model.name} for {spec.name}")
        return await asyncio.to_thread(readable, model, spec)

    def _launch(self, spec: EngineSpec, model: PreparedModel | None, name: str) -> EngineLaunch:
        arguments = self._arguments
        if arguments.tensor_parallel != 1:
            raise UsageError(f"engine {spec.name} runs in one piece: --tensor-parallel-size must be 1")
        return EngineLaunch(
            model_name=name,
            model_path=str(model.path) if model else "",
            text_path=model.text_path if model else "",
            context_length=model.context_length if model else 0,
            args=arguments.engine_args,
            options=convert_options(arguments.options or {}, spec.options_type, spec.name),
            ports={port: _port(self._environ, port) for port in spec.ports},
            tensor_parallel=arguments.tensor_parallel,
            runtime_dir=str(arguments.runtime.paths.runtime_dir),
        )

    async def _serve(self, loaded: Loaded, signals: StopSignals) -> None:
        async with await DistributedRuntime.create(self._arguments.runtime) as runtime:
            endpoint = runtime.endpoint(self._arguments.endpoint_name)
            load = LoadReport(loaded.engine, lambda: served.inflight)
            served = await endpoint.serve(self._handler(loaded, load), request_type=EngineRequest, register=False)
            served.report(load.read)
            teller = KvEventTeller() if loaded.info.kv_events else None
            if teller is not None:
                await teller.start(loaded.engine, runtime.events, served.instance.endpoint)
            card = loaded.card(served.instance)
            await served.register()
            await runtime.discovery.put(card.key, msgspec.msgpack.encode(card))
            self._ready(card, served, teller)
            death = await until(signals.asked, loaded.engine.failed())
            await runtime.discovery.delete(card.key)
            if death is not None:
                await served.unregister()
                raise EngineFailed(death)
            await self._drain(loaded, served, signals)

    def _ready(self, card: ModelCard, served: ServedEndpoint, teller: KvEventTeller | None) -> None:
        instance = card.instance
        labels = f'{{model="{card.name}",engine="{card.engine}"}}'
        self._admin.metrics = lambda: (
            "# TYPE dynamo_component_requests counter\n"
            f"dynamo_component_requests_total{labels} {self._requests}\n"
            "# TYPE dynamo_component_inflight_requests gauge\n"
            f"dynamo_component_inflight_requests{labels} {served.inflight}\n"
            f"{self._limit.metrics() if self._limit else ''}"
            f"{teller.metrics(labels) if teller else ''}"
        ).encode()
        place = {"endpoint": str(instance.endpoint), "store": self._arguments.runtime.store}
        facts = {"model": card.name, "engine": card.engine, "role": card.role, "instance": instance.hex_id}
        self._admin.set_health("ready", **facts, **place)
        _log.info("serving %s at %s as %s", card.name, instance.endpoint, instance.hex_id)

    def _handler(self, loaded: Loaded, load: LoadReport) -> Handler:
        generate, info, spans, limit = loaded.engine.generate, loaded.info, self._spans, self._limit

        def handle(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
            self._requests += 1
            _log.debug("request %s: %d prompt tokens", context.id, len(request.token_ids))
            load.begin()
            request = admit(request, info)
            deltas = generate(request, context) if limit is None else limit.generate(generate, request, context)
            return deltas if spans is None else handled(spans, deltas, request, context)

        return handle

    async def _drain(self, loaded: Loaded, served: ServedEndpoint, signals: StopSignals) -> None:
        running = served.inflight
        self._admin.set_health("draining", f"{running} requests in flight")
        if running:
            _log.info("draining: %d requests in flight have %g s", running, self._arguments.grace_s)
        await loaded.engine.drain()
        await until(signals.forced, served.drain(self._arguments.grace_s))


def _port(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(f"DYN_PORT_{name.upper()}", "")
    if not text.isdigit():
        raise UsageError(f"DYN_PORT_{name.upper()} is {text!r}, not a port")
    return int(text)

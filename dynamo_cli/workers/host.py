"""The worker host: everything around an engine that is the same for all of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from dynamo_cli.errors import DynamoError, EngineFailed
from dynamo_cli.runtime.runtime import DistributedRuntime, parse_endpoint
from dynamo_cli.runtime.signals import StopSignals, until
from dynamo_cli.runtime.spans import Spans, open_spans
from dynamo_cli.workers.arguments import WorkerArguments
from dynamo_cli.workers.loading import Loaded, Loader
from dynamo_cli.workers.serving import Serving
from dynamo_cli.workers.system.server import SystemServer

_log = logging.getLogger("dynamo.worker")
SPANS_S = 2.0
"""What is left of them has so long to be sent when the worker ends."""


class WorkerHost:
    def __init__(self, arguments: WorkerArguments, environ: Mapping[str, str] = os.environ) -> None:
        self._arguments = arguments
        self._environ = environ
        endpoint, config = parse_endpoint(arguments.endpoint_name), arguments.runtime
        self._system = SystemServer(config.paths.admin_socket(config.service), arguments.system, endpoint.endpoint)
        self._loader = Loader(arguments, environ, self._loading)
        self._spans: Spans | None = None

    async def run(self) -> bool:
        """Serve until SIGTERM or SIGINT; False when a second signal cut the draining short.

        Raises a DynamoError with one clear line when the worker cannot start or its engine dies.
        """
        self._spans = open_spans(self._environ)
        self._arguments.runtime.paths.ensure()
        with StopSignals() as signals:
            try:
                await self._system.start()
                loaded = await until(signals.asked, self._loader.load())
                if loaded is not None:
                    await (self._stand_by if self._arguments.headless else self._serve)(loaded, signals)
            except DynamoError as error:
                self._system.set_health("failed", str(error))
                raise
            finally:
                await self._loader.close()
                await self._system.close()
                if self._spans is not None:
                    self._spans.close(SPANS_S)
                self._arguments.runtime.paths.tidy()
            return not signals.forced.is_set()

    def _loading(self, model: str, engine: str, what: str, phase: str) -> None:
        named = {"model": model, "engine": engine} if model else {}
        self._system.set_health("loading", what, phase=phase, **named)

    async def _serve(self, loaded: Loaded, signals: StopSignals) -> None:
        async with await DistributedRuntime.create(self._arguments.runtime) as runtime:
            await Serving(loaded, self._arguments, runtime, self._system, self._spans).run(signals)

    async def _stand_by(self, loaded: Loaded, signals: StopSignals) -> None:
        """A secondary node: its engine works for that of another one, and nobody finds it."""
        self._system.set_health("ready", "headless", model=loaded.model_name, engine=loaded.engine_name)
        _log.info("engine %s runs headless", loaded.engine_name)
        death = await until(signals.asked, loaded.engine.failed())
        if death is not None:
            raise EngineFailed(death)

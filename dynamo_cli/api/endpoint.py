"""Serving an endpoint until the process is asked to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from dynamo_cli.api.client import Client
from dynamo_cli.api.counts import EndpointCounts, Labels
from dynamo_cli.errors import EngineFailed
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.instance import EndpointId, ModelCard
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.endpoint import ServedEndpoint
from dynamo_cli.runtime.requests.base import Handler
from dynamo_cli.workers.engines.custom.engine import PlainEngine
from dynamo_cli.workers.engines.custom.generator import checked, takes_context
from dynamo_cli.workers.selftest import generate_one_token

if TYPE_CHECKING:
    from dynamo_cli.api.model import Registration
    from dynamo_cli.api.runtime import DistributedRuntime


class Endpoint:
    def __init__(self, runtime: DistributedRuntime, endpoint: EndpointId) -> None:
        self.runtime = runtime
        self.id = endpoint

    async def client(self) -> Client:
        """Follows the instances of this endpoint; closed with the runtime."""
        return self.runtime.opened(Client(await self.runtime.joined.endpoint(self.id).client()))

    async def serve_endpoint(
        self,
        handler: Callable[..., AsyncIterator[Any]],
        graceful_shutdown: bool = True,
        metrics_labels: Labels | None = None,
        health_check_payload: Any = None,
    ) -> None:
        """Answer requests with `handler(request)` or `handler(request, context)`, an async generator; until SIGTERM.

        Requests and answers are JSON-like values. Running requests may then end, or with `graceful_shutdown=False` are
        cut, so that they go on elsewhere. `metrics_labels` are added to the endpoint's series. With a
        `health_check_payload` nobody is sent here before the handler has answered that: EngineFailed when it does not.
        An endpoint of a model is asked for a token instead.
        """
        checked(handler, f"endpoint {self.id}")
        registration = self.runtime.registrations.get(self.id)
        if registration is not None:
            await self._serve_model(handler, registration, graceful_shutdown, metrics_labels or ())
            return
        answer = _with_context(handler)
        if health_check_payload is not None:
            await _check(answer, health_check_payload)
        await self._serve(answer, Any, graceful_shutdown, metrics_labels or (), None)

    async def _serve_model(
        self, handler: Callable[..., AsyncIterator[Any]], registration: Registration, graceful: bool, labels: Labels
    ) -> None:
        engine = PlainEngine(registration, handler, registration.launch)
        try:
            info = await engine.start()
            await generate_one_token(engine, info, registration.name)
            make = lambda served: registration.card(served.instance, info)  # noqa: E731
            await self._serve(engine.generate, EngineRequest, graceful, labels, make)
        finally:
            await engine.stop()

    async def _serve(
        self,
        handler: Handler,
        request_type: Any,
        graceful: bool,
        labels: Labels,
        card_of: Callable[[ServedEndpoint], ModelCard] | None,
    ) -> None:
        runtime, discovery = self.runtime, self.runtime.joined.discovery
        counts = EndpointCounts(self.id, labels)
        endpoint = runtime.joined.endpoint(self.id)
        served = await endpoint.serve(counts.counting(handler), request_type=request_type, register=False)
        card = card_of(served) if card_of else None
        runtime.began(served, counts)
        patience_s = 0.0
        try:
            await served.register()
            if card is not None:
                await discovery.put(card.key, msgspec.msgpack.encode(card))
            await runtime.stopping.wait()
            patience_s = runtime.grace_s if graceful else 0.0
        finally:
            if card is not None:
                await discovery.delete(card.key)
            await served.drain(patience_s)
            await served.close()
            runtime.ended(served)


def _with_context(handler: Callable[..., AsyncIterator[Any]]) -> Handler:
    return handler if takes_context(handler) else lambda request, _: handler(request)


async def _check(handler: Handler, payload: Any) -> None:
    try:
        async for _ in handler(payload, Context("health-check")):
            return
    except asyncio.CancelledError:
        raise
    except Exception as error:
        raise EngineFailed(f"the health check payload was not answered: {error}") from None
    raise EngineFailed("the health check payload got no answer")

"""The HTTP routes: what each path answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from dynamo_cli.errors import DynamoError, ModelMissing
from dynamo_cli.frontend.generate import Generator
from dynamo_cli.frontend.http.envelope import error_body
from dynamo_cli.frontend.http.exchange import Exchange
from dynamo_cli.frontend.http.server import HttpServer
from dynamo_cli.frontend.metrics import scrape
from dynamo_cli.frontend.models import Models, ServedModel
from dynamo_cli.routing.registry import ModelRegistry

MODELS_PATH = "/v1/models/"


class RouteMissing(DynamoError):
    status: ClassVar[int] = 404
    code: ClassVar[str] = "unknown_url"


class MethodWrong(DynamoError):
    status: ClassVar[int] = 405
    code: ClassVar[str] = "method_not_allowed"


class Routes:
    """`handle` is the HTTP server's handler."""

    def __init__(self, models: Models, registry: ModelRegistry, generator: Generator) -> None:
        self.server: HttpServer | None = None
        self._models = models
        self._registry = registry
        self._table: dict[str, tuple[str, Callable[[Exchange], None]]] = {
            "/v1/chat/completions": ("POST", generator.chat),
            "/v1/completions": ("POST", generator.completion),
            "/v1/models": ("GET", self._list_models),
            "/health": ("GET", self._health),
            "/live": ("GET", lambda exchange: _send(exchange, {"status": "live"})),
            "/metrics": ("GET", self._metrics),
        }

    def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        path = request.path
        method, route = self._table.get(path) or self._route_with_parameter(path)
        if request.method != method and not (request.method == "HEAD" and method == "GET"):
            error = MethodWrong(f"{request.method} {path} is not allowed; use {method}")
            exchange.send(405, error_body(error), headers=b"allow: %b\r\n" % method.encode())
            return
        route(exchange)

    def _route_with_parameter(self, path: str) -> tuple[str, Callable[[Exchange], None]]:
        if path.startswith(MODELS_PATH) and len(path) > len(MODELS_PATH):
            return "GET", self._one_model
        if path.endswith("/") and path[:-1] in self._table:
            return self._table[path[:-1]]
        raise RouteMissing(f"there is no {path} here")

    def _list_models(self, exchange: Exchange) -> None:
        _send(exchange, {"object": "list", "data": [_describe(model) for model in self._models]})

    def _one_model(self, exchange: Exchange) -> None:
        model = self._models.get(exchange.request.path.removeprefix(MODELS_PATH))
        if not model.listed:
            raise ModelMissing(f"model {model.name!r} has no worker now")
        _send(exchange, _describe(model))

    def _health(self, exchange: Exchange) -> None:
        """The admin socket speaks the components' words, the public port the reference's."""
        instances = [card.instance for model in self._models for card in model.routed.cards.values()]
        draining = self.server is not None and self.server.draining
        well = "ready" if exchange.request.trusted else "healthy"
        health = {
            "status": "draining" if draining else well,
            "reason": "shutting down" if draining else "",
            "pid": os.getpid(),
            "models": [model.name for model in self._models],
            "endpoints": sorted({f"dyn://{instance.endpoint}" for instance in instances}),
            "instances": [
                {
                    "namespace": instance.endpoint.namespace,
                    "component": instance.endpoint.component,
                    "endpoint": instance.endpoint.endpoint,
                    "instance_id": instance.instance_id,
                    "service": instance.service,
                    "transport": {"tcp": instance.address.removeprefix("tcp://")},
                }
                for instance in instances
            ],
            "refused": [refusal.reason for refusal in self._registry.refused],
        }
        _send(exchange, health, 503 if draining else 200)

    def _metrics(self, exchange: Exchange) -> None:
        routed = [model.routed for model in self._models]
        body = scrape.render(self._models.counts, routed, self._models.retries)
        exchange.send(200, body, scrape.CONTENT_TYPE)


def _describe(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "dynamo",
        "context_window": model.context_length,
    }


def _send(exchange: Exchange, body: dict[str, Any], status: int = 200) -> None:
    exchange.send(status, msgspec.json.encode(body))

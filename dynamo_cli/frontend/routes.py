"""The HTTP routes: what each path answers."""

from __future__ import annotations

import os
from typing import Any

from dynamo_cli.errors import ModelMissing
from dynamo_cli.frontend import busy_threshold, conditional_disagg
from dynamo_cli.frontend.busy_threshold import BusyThresholdRoutes
from dynamo_cli.frontend.conditional_disagg import ConditionalDisaggRoutes
from dynamo_cli.frontend.embeddings import Embedder
from dynamo_cli.frontend.generate import Generator
from dynamo_cli.frontend.metrics.endpoint import ALL_PATH, COUNTS_PATH, MetricsEndpoint
from dynamo_cli.frontend.models import Models, ServedModel
from dynamo_cli.frontend.openapi.pages import Pages
from dynamo_cli.frontend.tokens import Tokens
from dynamo_cli.routing.registry import ModelRegistry
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.http.routes import RouteTable
from dynamo_cli.runtime.http.server import HttpServer

MODELS_PATH = "/v1/models/"
READY = "/ready"


class Routes:
    """`handle` is the HTTP server's handler. `asks_keys`: requests need an API key, as the description should say."""

    def __init__(
        self,
        models: Models,
        registry: ModelRegistry,
        generator: Generator,
        embedder: Embedder,
        metrics: MetricsEndpoint,
        busy: BusyThresholdRoutes | None,
        conditional: ConditionalDisaggRoutes | None,
        asks_keys: bool,
    ) -> None:
        self.server: HttpServer | None = None
        self._models = models
        self._registry = registry
        self.table = table = RouteTable()
        table.add("POST", "/v1/chat/completions", generator.chat)
        table.add("POST", "/v1/completions", generator.completion)
        table.add("POST", "/v1/embeddings", embedder.embed)
        tokens = Tokens(models)
        table.add("POST", "/tokenize", tokens.tokenize)
        table.add("POST", "/detokenize", tokens.detokenize)
        table.add("GET", "/v1/models", self._list_models)
        table.add("GET", MODELS_PATH, self._one_model)
        table.add("GET", "/health", self._health)
        table.add("GET", "/live", lambda exchange: exchange.send_json({"status": "live"}))
        table.add("GET", "/metrics", metrics.metrics)
        table.add("GET", ALL_PATH, metrics.of_deployment)
        table.add("GET", COUNTS_PATH, metrics.counts)
        if busy is not None:
            table.add("GET", busy_threshold.PATH, busy.list_all)
            table.add("POST", busy_threshold.PATH, busy.change)
        if conditional is not None:
            table.add("GET", conditional_disagg.PATH, conditional.list_all)
            table.add("POST", conditional_disagg.PATH, conditional.change)
        pages = Pages(table, asks_keys)
        table.add("GET", "/openapi.json", pages.openapi)
        table.add("GET", "/docs", pages.docs)
        self.handle = table.handle

    def _list_models(self, exchange: Exchange) -> None:
        exchange.send_json({"object": "list", "data": [_describe(model) for model in self._models]})

    def _one_model(self, exchange: Exchange) -> None:
        name = exchange.request.path.removeprefix(MODELS_PATH)
        if name.endswith(READY) and name not in self._models:
            self._model_ready(exchange, name.removesuffix(READY))
            return
        model = self._models.get(name)
        if not model.listed:
            raise ModelMissing(f"model {model.name!r} has no worker now")
        exchange.send_json(_describe(model))

    def _model_ready(self, exchange: Exchange, name: str) -> None:
        """Whether a worker can take requests for the model now: 200 or 503."""
        workers = len(self._models.get(name).routed.candidates)
        exchange.send_json({"id": name, "ready": workers > 0, "workers": workers}, 200 if workers else 503)

    def _health(self, exchange: Exchange) -> None:
        """The admin socket speaks the components' words, the public port the reference's.

        A frontend is ready whatever workers there are; the deployment is healthy when a model can answer.
        """
        instances = [card.instance for model in self._models for card in model.routed.cards.values()]
        status, reason = self._state(exchange.request.trusted)
        health = {
            "status": status,
            "reason": reason,
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
        exchange.send_json(health, 503 if reason else 200)

    def _state(self, trusted: bool) -> tuple[str, str]:
        """In a word, and why it is not well."""
        if self.server is not None and self.server.draining:
            return "draining", "shutting down"
        if trusted:
            return "ready", ""
        if not any(model.routed.candidates for model in self._models):
            return "unhealthy", "no model has a worker yet"
        return "healthy", ""


def _describe(model: ServedModel) -> dict[str, Any]:
    base = model.identity.base if model.identity is not None else ""
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "dynamo",
        "context_window": model.context_length,
        **({"parent": base} if base else {}),
    }

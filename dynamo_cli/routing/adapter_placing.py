"""Choosing a worker for requests to an adapter."""

from __future__ import annotations

from collections.abc import Sequence

from dynamo_cli.errors import NoInstances
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.routing.hints import RoutingHints
from dynamo_cli.routing.placing import Placed, Placer
from dynamo_cli.routing.registry import RoutedModel


class AdapterPlacer(Placer):
    """As the base model's placer would: the workers, their load and their KV cache are the same.

    Only those that have the adapter are candidates, and its blocks have names of their own.
    """

    def __init__(self, model: RoutedModel, base: Placer) -> None:
        super().__init__(model)
        self.inflight = base.inflight
        self._base = base

    def place(
        self, request: EngineRequest, request_id: str, candidates: Sequence[int], bound: int | None, hints: RoutingHints
    ) -> tuple[int, Placed]:
        """Also raises NoInstances: the cards of a worker go one by one."""
        whole = [worker for worker in candidates if worker in self._base.model.cards]
        if not whole:
            raise NoInstances(f"no worker of model {self.model.name} can take the request now; try again soon")
        return self._base.place(request, request_id, whole, bound, hints)

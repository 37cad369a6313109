"""Tells routers what the engine's KV cache holds."""

from __future__ import annotations

from dynamo_cli.errors import RouteMissing
from dynamo_cli.protocol.held_blocks import HeldBlocks, held_view
from dynamo_cli.protocol.instance import EndpointId
from dynamo_cli.protocol.kv import KV_TOPIC, TIERS, KvEvent
from dynamo_cli.runtime.events.base import EventPlane, Publisher
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.workers.engine import Engine

BLOCKS_PATH = "/kv_blocks"


class KvEventTeller:
    """Publishes an engine's events, and keeps their sum for routers that come later. `told`: events so far."""

    def __init__(self) -> None:
        self.told = 0
        self._held = HeldBlocks()
        self._publisher: Publisher | None = None

    async def start(self, engine: Engine, plane: EventPlane, endpoint: EndpointId) -> None:
        """Raises ResourceMissing when this process cannot listen."""
        self._publisher = await plane.publisher(endpoint.namespace, endpoint.component, {KV_TOPIC: self._held.events})
        engine.on_kv_events = self._tell

    def metrics(self, labels: str) -> str:
        return (
            "# TYPE dynamo_component_kv_events_published counter\n"
            f"dynamo_component_kv_events_published_total{labels} {self.told}\n"
            "# TYPE dynamo_component_kv_blocks_held gauge\n"
            f"dynamo_component_kv_blocks_held{labels} {len(self._held)}\n"
        )

    def show(self, exchange: Exchange) -> None:
        """Every block that routers should know of, by tier. Raises RouteMissing on any but the admin socket."""
        if not exchange.request.trusted:
            raise RouteMissing(f"there is no {exchange.request.path} here")
        exchange.send_json({tier: held_view(self._held.tier(tier), listed=True) for tier in TIERS})

    def _tell(self, events: list[KvEvent]) -> None:
        assert self._publisher is not None
        self.told += len(events)
        for event in events:
            self._held.apply(event)
        self._publisher.publish(KV_TOPIC, events)

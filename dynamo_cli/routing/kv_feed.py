"""Brings what workers tell of their KV caches to the routers of their models."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from dynamo_cli.protocol.held_blocks import HeldBlocks
from dynamo_cli.protocol.instance import EndpointId
from dynamo_cli.protocol.kv import KV_TOPIC, Cleared, KvEvent
from dynamo_cli.runtime.events.base import EventPlane, EventSink, Standing, Subscription

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who wants to know what a worker holds."""

    def hear(self, worker: int, events: list[KvEvent]) -> None: ...


class KvFeed:
    """One subscription for each component of which a worker is followed. `plane` is asked for when it is needed."""

    def __init__(self, plane: Callable[[], EventPlane]) -> None:
        self._plane = plane
        self._components: dict[tuple[str, str], ComponentFeed] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def follow(self, worker: int, endpoint: EndpointId, listener: Listener) -> None:
        """Let the listener know all that this worker holds, and what changes."""
        place = endpoint.namespace, endpoint.component
        component = self._components.get(place)
        if component is None or component.has_missed(worker):
            self._components[place] = self._subscribed(place, component)
        self._components[place].follow(worker, listener)

    def leave(self, worker: int, endpoint: EndpointId) -> None:
        """The worker is of no interest (now). Idempotent."""
        component = self._components.get((endpoint.namespace, endpoint.component))
        if component is not None:
            component.leave(worker)

    def has_all(self, worker: int, endpoint: EndpointId) -> bool:
        """Whether all that this worker has told so far is known."""
        component = self._components.get((endpoint.namespace, endpoint.component))
        return component is not None and component.has_all(worker)

    async def close(self) -> None:
        closing = [component.close() for component in self._components.values()]
        self._components.clear()
        await asyncio.gather(*closing, *self._closing)

    def _subscribed(self, place: tuple[str, str], before: ComponentFeed | None) -> ComponentFeed:
        """A subscription, which begins with all that there is."""
        component = ComponentFeed(self._plane(), *place)
        if before is not None:
            component.take_over(before)
            task = asyncio.ensure_future(before.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        return component


class ComponentFeed(EventSink):
    """What the workers of one component tell. A worker may tell something before its model card is there."""

    def __init__(self, plane: EventPlane, namespace: str, component: str) -> None:
        self._listeners: dict[int, Listener] = {}
        self._early: dict[int, HeldBlocks] = {}
        self._missed: set[int] = set()
        self._closed = False
        subscribing = plane.subscribe(namespace, component, KV_TOPIC, self, list[KvEvent])
        self._subscription: asyncio.Task[Subscription] = asyncio.ensure_future(subscribing)
        self._subscription.add_done_callback(_complain)

    def has_missed(self, worker: int) -> bool:
        """Whether some of what it told was heard by nobody."""
        return worker in self._missed

    def has_all(self, worker: int) -> bool:
        standing = (self._standing() or {}).get(worker)
        return standing is not None and standing.whole

    def follow(self, worker: int, listener: Listener) -> None:
        self._listeners[worker] = listener
        early = self._early.pop(worker, None)
        if early is not None:
            for events in early.events():
                listener.hear(worker, events)

    def leave(self, worker: int) -> None:
        if self._listeners.pop(worker, None) is None:
            return
        standing = self._standing()
        if standing is None or worker in standing:
            self._missed.add(worker)

    def take_over(self, other: ComponentFeed) -> None:
        self._listeners = other._listeners
        other._listeners = {}
        other._closed = True

    async def close(self) -> None:
        self._closed = True
        self._subscription.cancel()
        await asyncio.wait([self._subscription])
        if not self._subscription.cancelled() and self._subscription.exception() is None:
            await self._subscription.result().close()

    def _standing(self) -> dict[int, Standing] | None:
        """Of all that tell something; None while that is not known. Who comes later is heard from its beginning."""
        subscribing = self._subscription
        if not subscribing.done() or subscribing.cancelled() or subscribing.exception() is not None:
            return None
        return subscribing.result().publishers()

    # EventSink

    def on_reset(self, publisher: int) -> None:
        if self._closed:
            return
        self._missed.discard(publisher)
        listener = self._listeners.get(publisher)
        if listener is None:
            self._early[publisher] = HeldBlocks()
        else:
            listener.hear(publisher, [Cleared()])

    def on_event(self, publisher: int, payload: list[KvEvent]) -> None:
        listener = self._listeners.get(publisher)
        if listener is not None:
            listener.hear(publisher, payload)
        elif publisher in self._early:
            early = self._early[publisher]
            for event in payload:
                early.apply(event)

    def on_gone(self, publisher: int) -> None:
        if self._closed:
            return
        self._missed.discard(publisher)
        self._early.pop(publisher, None)
        listener = self._listeners.get(publisher)
        if listener is not None:
            listener.hear(publisher, [Cleared()])


def _complain(subscribing: asyncio.Task[Subscription]) -> None:
    if not subscribing.cancelled() and (error := subscribing.exception()) is not None:
        log.error("KV events cannot be followed: %s", error)

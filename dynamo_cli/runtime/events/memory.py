"""The event plane inside one process: for tests and for deployments of a single process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec

from dynamo_cli.runtime.events.announcement import topic_path
from dynamo_cli.runtime.events.base import Dump, EventPlane, EventSink, Publisher, Standing, Subscription
from dynamo_cli.runtime.events.frames import LARGEST_MESSAGE, encode_message
from dynamo_cli.runtime.events.history import MOST_BYTES

_log = logging.getLogger(__name__)
_RETRY_S = 0.5


class _Topic:
    """One publisher's: whoever follows it gets messages at the next pass of the event loop."""

    def __init__(self, path: str, publisher: int, dump: Dump) -> None:
        self.path = path
        self.publisher = publisher
        self.dump = dump
        self.sequence = 0
        self.followers: list[MemorySubscription] = []

    def publish(self, payload: Any) -> None:
        if self.followers:
            message = encode_message(payload)
            if len(message) > LARGEST_MESSAGE:
                raise ValueError(f"a message of {len(message)} bytes is over the limit of {LARGEST_MESSAGE}")
            for follower in self.followers:
                follower.tell(self, self.sequence + 1, message)
        self.sequence += 1


class MemoryHub:
    """What several MemoryEventPlane objects on one event loop share."""

    def __init__(self) -> None:
        self.topics: dict[tuple[str, int], _Topic] = {}
        self.subscriptions: list[MemorySubscription] = []

    def add(self, topic: _Topic) -> None:
        self.topics[topic.path, topic.publisher] = topic
        for subscription in self.subscriptions:
            if subscription.path == topic.path:
                subscription.join(topic)

    def remove(self, topic: _Topic) -> None:
        del self.topics[topic.path, topic.publisher]
        for subscription in list(topic.followers):
            subscription.leave(topic)


class MemoryPublisher(Publisher):
    def __init__(self, hub: MemoryHub, topics: dict[str, _Topic]) -> None:
        self._hub = hub
        self._topics = topics
        self._closed = False

    def publish(self, topic: str, payload: Any) -> None:
        self._topics[topic].publish(payload)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            for topic in self._topics.values():
                self._hub.remove(topic)


class MemorySubscription(Subscription):
    """All that is to be said waits in `_queue` for the next pass of the loop, in order."""

    def __init__(self, hub: MemoryHub, path: str, sink: EventSink, payload_type: Any, ignored: int | None) -> None:
        self.path = path
        self._ignored = ignored
        self._hub = hub
        self._sink = sink
        self._decode = msgspec.msgpack.Decoder(payload_type).decode
        self._loop = asyncio.get_running_loop()
        self._standing: dict[_Topic, Standing] = {}
        self._queue: list[Callable[[], None]] = []

    def join(self, topic: _Topic) -> None:
        if topic.publisher == self._ignored:
            return
        topic.followers.append(self)
        self._standing[topic] = Standing(True, False, 0, 0)
        self._say(lambda: self._reset(topic))

    def tell(self, topic: _Topic, sequence: int, message: bytes) -> None:
        self._say(lambda: self._hear(topic, sequence, message))

    def leave(self, topic: _Topic) -> None:
        topic.followers.remove(self)
        self._say(lambda: self._end(topic))

    def publishers(self) -> dict[int, Standing]:
        return {topic.publisher: standing for topic, standing in self._standing.items()}

    async def close(self) -> None:
        self._queue.clear()
        if self in self._hub.subscriptions:
            self._hub.subscriptions.remove(self)
        for topic in self._standing:
            if self in topic.followers:
                topic.followers.remove(self)
        self._standing.clear()

    def _say(self, what: Callable[[], None]) -> None:
        if not self._queue:
            self._loop.call_soon(self._flush)
        self._queue.append(what)

    def _flush(self) -> None:
        queue, self._queue = self._queue, []
        for what in queue:
            what()

    def _hear(self, topic: _Topic, sequence: int, message: bytes) -> None:
        standing = self._standing.get(topic)
        if standing is None or not standing.whole or sequence <= standing.sequence:
            return
        try:
            self._sink.on_event(topic.publisher, self._decode(message))
            self._standing[topic] = standing._replace(sequence=sequence)
        except Exception:
            self._fail(topic)

    def _reset(self, topic: _Topic) -> None:
        """Bring the whole state; again after a while if that fails."""
        standing = self._standing.get(topic)
        if standing is None or self not in topic.followers:
            return
        self._standing[topic] = Standing(True, False, topic.sequence, standing.resets + 1)
        try:
            messages = [encode_message(payload) for payload in topic.dump()]
            self._sink.on_reset(topic.publisher)
            for message in messages:
                self._sink.on_event(topic.publisher, self._decode(message))
            self._standing[topic] = self._standing[topic]._replace(whole=True)
        except Exception:
            self._fail(topic)

    def _fail(self, topic: _Topic) -> None:
        _log.warning("%s of %x: events cannot be taken", topic.path, topic.publisher, exc_info=True)
        self._standing[topic] = self._standing[topic]._replace(whole=False)
        self._loop.call_later(_RETRY_S, self._reset, topic)

    def _end(self, topic: _Topic) -> None:
        standing = self._standing.pop(topic, None)
        if standing is None or not standing.resets:
            return
        try:
            self._sink.on_gone(topic.publisher)
        except Exception:
            _log.exception("a sink failed on the end of %s of %x", topic.path, topic.publisher)


class MemoryEventPlane(EventPlane):
    def __init__(self, hub: MemoryHub, instance_id: int) -> None:
        self._hub = hub
        self._instance_id = instance_id
        self._publishers: list[MemoryPublisher] = []
        self._subscriptions: list[MemorySubscription] = []

    async def publisher(
        self, namespace: str, component: str, topics: Mapping[str, Dump], *, remembered: int = MOST_BYTES
    ) -> Publisher:
        made = {
            topic: _Topic(topic_path(namespace, component, topic), self._instance_id, dump)
            for topic, dump in topics.items()
        }
        for topic in made.values():
            if (topic.path, topic.publisher) in self._hub.topics:
                raise ValueError(f"this process publishes {topic.path} already")
        for topic in made.values():
            self._hub.add(topic)
        publisher = MemoryPublisher(self._hub, made)
        self._publishers.append(publisher)
        return publisher

    async def subscribe(
        self,
        namespace: str,
        component: str,
        topic: str,
        sink: EventSink,
        payload_type: Any = Any,
        *,
        others_only: bool = False,
    ) -> Subscription:
        path, ignored = topic_path(namespace, component, topic), self._instance_id if others_only else None
        subscription = MemorySubscription(self._hub, path, sink, payload_type, ignored)
        self._hub.subscriptions.append(subscription)
        for known in self._hub.topics.values():
            if known.path == subscription.path:
                subscription.join(known)
        self._subscriptions.append(subscription)
        return subscription

    async def close(self) -> None:
        for subscription in self._subscriptions:
            await subscription.close()
        for publisher in self._publishers:
            await publisher.close()


@cache
def process_hub() -> MemoryHub:
    """The one hub of this process."""
    return MemoryHub()

"""The event plane over TCP: publishers listen, subscribers find them through discovery and connect to each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from dynamo_cli.runtime.discovery.base import Discovery
from dynamo_cli.runtime.discovery.owner import this_process
from dynamo_cli.runtime.events.announcement import Announcement, announcement_key, topic_path
from dynamo_cli.runtime.events.base import Dump, EventPlane, EventSink, Publisher, Subscription
from dynamo_cli.runtime.events.history import MOST_BYTES, History
from dynamo_cli.runtime.events.tcp_publisher import TcpPublisher, TopicServer
from dynamo_cli.runtime.events.tcp_subscriber import TcpSubscription
from dynamo_cli.runtime.events.topic import Topic


class TcpEventPlane(EventPlane):
    """`instance_id` names this process to subscribers. It listens on `host` from its first publisher on."""

    def __init__(self, token: bytes, discovery: Discovery, instance_id: int, host: str = "127.0.0.1") -> None:
        self._token = token
        self._discovery = discovery
        self._instance_id = instance_id
        self._host = host
        self._server: TopicServer | None = None
        self._opening = asyncio.Lock()
        self._publishers: list[TcpPublisher] = []
        self._subscriptions: set[TcpSubscription] = set()

    async def publisher(
        self, namespace: str, component: str, topics: Mapping[str, Dump], *, remembered: int = MOST_BYTES
    ) -> Publisher:
        paths = {topic: topic_path(namespace, component, topic) for topic in topics}
        server = await self._listening()
        for path in paths.values():
            if path in server.topics:
                raise ValueError(f"this process publishes {path} already")
        loop = asyncio.get_running_loop()
        made = {topic: Topic(path, topics[topic], loop, History(size=remembered)) for topic, path in paths.items()}
        server.topics.update((topic.path, topic) for topic in made.values())
        publisher = TcpPublisher(server, made, self._withdraw)
        self._publishers.append(publisher)
        value = msgspec.msgpack.encode(Announcement(server.listener.address, this_process()))
        for path in paths.values():
            await self._discovery.put(announcement_key(path, self._instance_id), value)
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
        forget = self._subscriptions.discard
        subscription = TcpSubscription(self._token, path, sink, payload_type, ignored, forget)
        self._subscriptions.add(subscription)
        await subscription.start(self._discovery)
        return subscription

    async def close(self) -> None:
        for subscription in list(self._subscriptions):
            await subscription.close()
        for publisher in self._publishers:
            await publisher.close()
        if self._server is not None:
            await self._server.close()

    async def _listening(self) -> TopicServer:
        async with self._opening:
            if self._server is None:
                server = TopicServer(self._token, self._host)
                await server.listener.open()
                self._server = server
        return self._server

    async def _withdraw(self, path: str) -> None:
        await self._discovery.delete(announcement_key(path, self._instance_id))

"""The publishing end of the event plane over TCP: one listening port for all topics of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from dynamo_cli.errors import DynamoError, NoInstances, Overloaded
from dynamo_cli.runtime.events.base import Publisher
from dynamo_cli.runtime.events.frames import AnyFrame, Follow, frame_decoder
from dynamo_cli.runtime.events.topic import Follower, Topic
from dynamo_cli.runtime.links.frames import MAX_UNPROVED_FRAME, Error, Proof, Welcome
from dynamo_cli.runtime.links.server import AcceptedLink, Listener

BEAT_S = 0.5
_MOST_FOLLOWERS = 1024


class TopicServer:
    """Serves topics by path. The timer runs while somebody follows."""

    def __init__(self, token: bytes, host: str) -> None:
        self.listener = Listener(token, host, lambda: FollowerLink(self))
        self.topics: dict[str, Topic] = {}
        self._loop = asyncio.get_running_loop()
        self._beat: asyncio.TimerHandle | None = None

    @property
    def followers(self) -> int:
        return sum(len(topic.followers) for topic in self.topics.values())

    def remove(self, topic: Topic) -> None:
        """Publish it no more; its followers get what is published and lose their connections."""
        if self.topics.get(topic.path) is not topic:
            return
        del self.topics[topic.path]
        topic.flush()
        for follower in list(topic.followers):
            topic.leave(follower)
            follower.reader.finish()
        topic.close()

    async def close(self) -> None:
        for topic in list(self.topics.values()):
            self.remove(topic)
        if self._beat is not None:
            self._beat.cancel()
        await self.listener.close()

    def follow(self, link: FollowerLink, path: str) -> Follower:
        """NoInstances or Overloaded when that cannot be."""
        topic = self.topics.get(path)
        if topic is None:
            raise NoInstances(f"{self.listener.address} does not publish {path}")
        if self.followers >= _MOST_FOLLOWERS:
            raise Overloaded(f"{self.listener.address} has {_MOST_FOLLOWERS} followers")
        if self._beat is None:
            self._beat = self._loop.call_later(BEAT_S, self._on_beat)
        return Follower(topic, link)

    def _on_beat(self) -> None:
        for topic in self.topics.values():
            topic.beat()
        self._beat = self._loop.call_later(BEAT_S, self._on_beat) if self.followers else None


class FollowerLink(AcceptedLink):
    """One subscriber's connection: it follows one topic."""

    plane = "event plane"
    purposes = ("events",)
    decoder = frame_decoder

    def __init__(self, server: TopicServer) -> None:
        super().__init__(server.listener)
        self._server = server
        self._follower: Follower | None = None

    def on_proved(self, proof: Proof, answer: Welcome) -> None:
        self.reader.limit = MAX_UNPROVED_FRAME
        self.send(answer)

    def on_said(self, frame: AnyFrame) -> None:
        if type(frame) is not Follow:
            self.close(f"unexpected {type(frame).__name__} frame")
            return
        try:
            if self._follower is None:
                self._follower = self._server.follow(self, frame.path)
        except DynamoError as error:
            self.send(Error(0, error.code, str(error)))
            self.finish()
            return
        self._follower.start(frame)

    def on_writable(self) -> None:
        if self._follower is not None:
            self._follower.pump()

    def on_closed(self, reason: str) -> None:
        super().on_closed(reason)
        if self._follower is not None:
            self._follower.topic.leave(self._follower)


class TcpPublisher(Publisher):
    """`withdraw` takes a topic out of discovery."""

    def __init__(
        self, server: TopicServer, topics: dict[str, Topic], withdraw: Callable[[str], Awaitable[None]]
    ) -> None:
        self._server = server
        self._topics = topics
        self._withdraw = withdraw
        self._closed = False

    def publish(self, topic: str, payload: Any) -> None:
        self._topics[topic].publish(payload)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for topic in self._topics.values():
            await self._withdraw(topic.path)
        for topic in self._topics.values():
            self._server.remove(topic)

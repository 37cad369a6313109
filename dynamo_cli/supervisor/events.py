"""What happened in a deployment, for everybody who listens; a slow listener loses events, never our memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dynamo_cli.runtime.control import Event

QUEUE = 1000


class EventBus:
    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._queues: set[asyncio.Queue[Event | None]] = set()

    def publish(self, service: str, state: str, message: str) -> None:
        event = Event(time=round(self._clock(), 3), service=service, state=state, message=message)
        for queue in self._queues:
            if not queue.full():
                queue.put_nowait(event)

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[Event | None]]:
        """A queue of the events from now on; None ends it."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(QUEUE)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    def close(self) -> None:
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

"""The receiving end of a watch."""

from __future__ import annotations

import asyncio

from dynamo_cli.runtime.discovery.base import Watch, WatchEvent


class QueueWatch(Watch):
    """Filled by `push` (on the event loop); `next` drains it."""

    def __init__(self, initial: dict[str, bytes]) -> None:
        self.initial = initial
        self._events: list[WatchEvent] = []
        self._arrived = asyncio.Event()

    def push(self, events: list[WatchEvent]) -> None:
        self._events.extend(events)
        self._arrived.set()

    async def next(self) -> list[WatchEvent]:
        await self._arrived.wait()
        self._arrived.clear()
        events, self._events = self._events, []
        return events

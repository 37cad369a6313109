"""A publisher's blocks and what a subscriber makes of its events: the two must become equal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dynamo_cli.protocol.kv import Cleared, KvEvent, Removed, Stored
from dynamo_cli.runtime.events.base import EventPlane, Publisher

PLACE = ("dynamo", "backend")


class Blocks:
    """What a worker holds; every change is published on `kv`."""

    def __init__(self) -> None:
        self.held: dict[int, None] = {}
        self.dumps = 0
        self.publisher: Publisher | None = None

    async def open(self, plane: EventPlane) -> Publisher:
        self.publisher = await plane.publisher(*PLACE, {"kv": self.dump})
        return self.publisher

    def dump(self) -> list[Any]:
        self.dumps += 1
        held = list(self.held)
        return [Stored(held[at : at + 64]) for at in range(0, len(held), 64)]

    def store(self, hashes: Iterable[int]) -> None:
        given = list(hashes)
        self.held.update(dict.fromkeys(given))
        self._tell(Stored(given))

    def remove(self, hashes: Iterable[int]) -> None:
        given = list(hashes)
        for one in given:
            self.held.pop(one, None)
        self._tell(Removed(given))

    def clear(self) -> None:
        self.held.clear()
        self._tell(Cleared())

    def _tell(self, event: KvEvent) -> None:
        if self.publisher is not None:
            self.publisher.publish("kv", event)


class Copy:
    """A sink that builds each publisher's set of blocks, strictly: no event before a reset, none after the end."""

    def __init__(self) -> None:
        self.held: dict[int, set[int]] = {}
        self.events: list[tuple[int, KvEvent]] = []
        self.resets: list[int] = []
        self.gone: list[int] = []

    def on_reset(self, publisher: int) -> None:
        self.held[publisher] = set()
        self.resets.append(publisher)

    def on_event(self, publisher: int, payload: KvEvent) -> None:
        held = self.held[publisher]
        self.events.append((publisher, payload))
        if isinstance(payload, Stored):
            held.update(payload.hashes)
        elif isinstance(payload, Removed):
            held.difference_update(payload.hashes)
        else:
            held.clear()

    def on_gone(self, publisher: int) -> None:
        del self.held[publisher]
        self.gone.append(publisher)


class Heard:
    """A sink that remembers everything in one list, and can be told to fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.failures = 0

    def on_reset(self, publisher: int) -> None:
        self.calls.append(("reset", publisher))

    def on_event(self, publisher: int, payload: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("broken sink")
        self.calls.append((publisher, payload))

    def on_gone(self, publisher: int) -> None:
        self.calls.append(("gone", publisher))

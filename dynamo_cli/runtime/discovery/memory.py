"""Discovery inside one process: for tests and for deployments of a single process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from dynamo_cli.runtime.discovery.base import Discovery, Watch, WatchEvent, check_key
from dynamo_cli.runtime.discovery.queue import QueueWatch


class MemoryStore:
    """What several MemoryDiscovery objects on one event loop share."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[bytes, MemoryDiscovery]] = {}
        self.watches: list[tuple[str, QueueWatch]] = []

    def put(self, key: str, value: bytes, owner: MemoryDiscovery) -> None:
        self.values[key] = (value, owner)
        self._tell(WatchEvent("put", key, value))

    def delete(self, key: str) -> None:
        if self.values.pop(key, None) is not None:
            self._tell(WatchEvent("delete", key))

    def under(self, prefix: str) -> dict[str, bytes]:
        return {key: value for key, (value, _) in self.values.items() if key.startswith(prefix)}

    def _tell(self, event: WatchEvent) -> None:
        for prefix, watch in self.watches:
            if event.key.startswith(prefix):
                watch.push([event])


class MemoryDiscovery(Discovery):
    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()

    async def put(self, key: str, value: bytes) -> None:
        self._store.put(check_key(key), value, self)

    async def create(self, key: str, value: bytes) -> bool:
        if check_key(key) in self._store.values:
            return False
        self._store.put(key, value, self)
        return True

    async def delete(self, key: str) -> None:
        self._store.delete(check_key(key))

    async def get_prefix(self, prefix: str) -> dict[str, bytes]:
        return self._store.under(prefix)

    @asynccontextmanager
    async def watch_prefix(self, prefix: str) -> AsyncIterator[Watch]:
        watch = QueueWatch(self._store.under(prefix))
        entry = (prefix, watch)
        self._store.watches.append(entry)
        try:
            yield watch
        finally:
            self._store.watches.remove(entry)

    async def close(self) -> None:
        for key in [key for key, (_, owner) in self._store.values.items() if owner is self]:
            self._store.delete(key)


@cache
def process_store() -> MemoryStore:
    """The one store of this process."""
    return MemoryStore()

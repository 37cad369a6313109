"""Discovery: a key-value store with leases and watch, in which processes find each other."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import Literal, NamedTuple
from urllib.parse import quote

_KEY = re.compile(r"[A-Za-z0-9_-]+/[A-Za-z0-9_-]+/[ -~]+")
_LONGEST_ESCAPED_KEY = 240


def check_key(key: str) -> str:
    """The key itself; ValueError unless it is `word/word/printable ASCII` of at most 240 percent-escaped characters."""
    if len(quote(key, safe="")) > _LONGEST_ESCAPED_KEY or not _KEY.fullmatch(key):
        raise ValueError(f"not a discovery key: {key!r}")
    return key


class WatchEvent(NamedTuple):
    kind: Literal["put", "delete"]
    key: str
    value: bytes = b""


class Watch(ABC):
    """Iterates over changes. What was there at the start is in `initial`, not repeated as events."""

    initial: dict[str, bytes]

    @abstractmethod
    async def next(self) -> list[WatchEvent]:
        """Wait for changes and return all that are known; a delete and a put of one key keep their order."""


class Discovery(ABC):
    """Keys are `/`-separated printable text. Keys put here live as long as this object's lease.

    The lease ends with `close()`, with the death of the process, or after 10 s without a sign of life.
    """

    @abstractmethod
    async def put(self, key: str, value: bytes) -> None: ...

    @abstractmethod
    async def create(self, key: str, value: bytes) -> bool:
        """Put only if the key is absent, atomically among all processes; False when it was there."""

    @abstractmethod
    async def delete(self, key: str) -> None:
        """One that cannot be removed (a store that became read-only) loses its lease instead."""

    @abstractmethod
    async def get_prefix(self, prefix: str) -> dict[str, bytes]: ...

    @abstractmethod
    def watch_prefix(self, prefix: str) -> AbstractAsyncContextManager[Watch]: ...

    @abstractmethod
    async def close(self) -> None:
        """End the lease: delete every key this object put."""

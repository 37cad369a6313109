"""Requests that a router process has chosen a worker for, and that their frontends have not yet spoken of."""

from __future__ import annotations

Key = tuple[str, str]
"""Of a request: its router's name and its id there."""
TTL_S = 2.0
"""Frontends say so within milliseconds."""


class Unconfirmed:
    """Pure; `now` is in seconds of any clock that does not go back."""

    def __init__(self, ttl_s: float = TTL_S) -> None:
        self.expired = 0
        self._ttl_s = ttl_s
        self._held: dict[Key, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, key: Key) -> bool:
        return key in self._held

    def add(self, key: Key, worker: int, now: float) -> None:
        """Asked about again it begins anew."""
        self._held.pop(key, None)
        self._held[key] = worker, now + self._ttl_s

    def confirm(self, key: Key) -> int | None:
        """Its frontend speaks of it: the worker that it was given, None when it is not held here."""
        held = self._held.pop(key, None)
        return None if held is None else held[0]

    def forget(self, router: str) -> None:
        for key in [key for key in self._held if key[0] == router]:
            del self._held[key]

    def take_expired(self, now: float) -> list[Key]:
        """Those whose time is up; they are held no more."""
        expired = []
        for key, (_, until) in self._held.items():
            if now < until:
                break
            expired.append(key)
        for key in expired:
            del self._held[key]
        self.expired += len(expired)
        return expired

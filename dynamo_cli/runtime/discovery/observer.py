"""What an observer makes of the key files it sees: puts, deletes, and leases that ran out."""

from __future__ import annotations

from dynamo_cli.runtime.discovery.base import WatchEvent
from dynamo_cli.runtime.discovery.files import Envelope, FileFacts, KeyFiles
from dynamo_cli.runtime.discovery.owner import Owner, is_dead

LEASE_S = 10.0
_DEATH_CHECK_S = 0.5
_LONGEST_STEP_S = 1.0


class _Seen:
    __slots__ = ("changed_s", "envelope", "expired", "facts", "path")

    def __init__(self, path: str, facts: FileFacts, envelope: Envelope | None, now: float) -> None:
        self.path = path
        self.facts = facts
        self.envelope = envelope
        self.changed_s = now
        self.expired = False


class Observer:
    """Call `scan` every fraction of a second with a monotonic time. Not thread-safe.

    A lease runs out after 10 s of the observer's own watching: a pause of the observer counts as one second at most,
    since the owners may have been paused with it.
    """

    def __init__(self, files: KeyFiles, prefix: str) -> None:
        self._files = files
        self._prefix = prefix
        self._seen: dict[str, _Seen] = {}
        self._clock = 0.0
        self._last_scan: float | None = None
        self._deaths_checked = float("-inf")

    @property
    def values(self) -> dict[str, bytes]:
        return {key: seen.envelope.value for key, seen in self._seen.items() if seen.envelope and not seen.expired}

    def scan(self, now: float) -> list[WatchEvent]:
        """What changed since the last scan."""
        if self._last_scan is not None:
            self._clock += min(now - self._last_scan, _LONGEST_STEP_S)
        self._last_scan = now
        events: list[WatchEvent] = []
        present = set()
        for key, path, facts in self._files.scan(self._prefix):
            present.add(key)
            events += self._look(key, path, facts)
        for key in self._seen.keys() - present:
            events += self._gone(key, self._seen.pop(key))
        return events + self._expire()

    def _look(self, key: str, path: str, facts: FileFacts) -> list[WatchEvent]:
        seen = self._seen.get(key)
        if seen is not None and seen.facts == facts:
            return []
        # An inode may be used again at once, so only the content tells a touch from a new value.
        envelope = self._files.read(path)
        before = seen.envelope if seen is not None and not seen.expired else None
        self._seen[key] = _Seen(path, facts, envelope, self._clock)
        if envelope is None:
            return [WatchEvent("delete", key)] if before is not None else []
        if before is not None and before.version == envelope.version:
            return []
        return [WatchEvent("put", key, envelope.value)]

    def _gone(self, key: str, seen: _Seen) -> list[WatchEvent]:
        return [WatchEvent("delete", key)] if seen.envelope is not None and not seen.expired else []

    def _expire(self) -> list[WatchEvent]:
        dead = self._dead_owners()
        events = []
        for key, seen in self._seen.items():
            if seen.envelope is None or seen.expired:
                continue
            if self._clock - seen.changed_s >= LEASE_S or seen.envelope.owner in dead:
                seen.expired = True
                self._files.reap(seen.path, seen.envelope.version)
                events.append(WatchEvent("delete", key))
        return events

    def _dead_owners(self) -> set[Owner]:
        if self._clock - self._deaths_checked < _DEATH_CHECK_S:
            return set()
        self._deaths_checked = self._clock
        owners = {seen.envelope.owner for seen in self._seen.values() if seen.envelope and not seen.expired}
        return {owner for owner in owners if is_dead(owner)}

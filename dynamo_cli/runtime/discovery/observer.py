"""What an observer makes of the key files it sees: puts, deletes, and leases that ran out."""

from __future__ import annotations

import logging

from dynamo_cli.runtime.discovery.base import WatchEvent
from dynamo_cli.runtime.discovery.files import Envelope, FileFacts, KeyFiles
from dynamo_cli.runtime.discovery.owner import is_dead

LEASE_S = 10.0
_DEATH_CHECK_S = 0.5
_TOUCHES_CHECK_S = 1.0
_LONGEST_STEP_S = 1.0
_log = logging.getLogger(__name__)


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
    since the owners may have been paused with it, and what it cannot look at (too many open files, a network's file
    system that is away) is as it was.
    """

    def __init__(self, files: KeyFiles, prefix: str) -> None:
        self._files = files
        self._prefix = prefix
        self._seen: dict[str, _Seen] = {}
        self._clock = 0.0
        self._last_scan: float | None = None
        self._deaths_checked = float("-inf")
        self._looked = float("-inf")
        self._stamps: tuple[object, object] = (None, None)
        self._blind = self._missed = False

    @property
    def values(self) -> dict[str, bytes]:
        return {key: seen.envelope.value for key, seen in self._seen.items() if seen.envelope and not seen.expired}

    def scan(self, now: float) -> list[WatchEvent]:
        """What changed since the last scan."""
        before = self._clock
        if self._last_scan is not None:
            self._clock += min(now - self._last_scan, _LONGEST_STEP_S)
        self._last_scan = now
        try:
            events = self._look_at_all() if self._is_due() else []
        except OSError as error:
            self._clock = before
            self._cannot_look(error)
            return []
        if self._clock - self._deaths_checked >= _DEATH_CHECK_S:
            events += self._bury()
        return events

    def _is_due(self) -> bool:
        """Whether there may be something new. A change is looked at twice: another may hide behind it."""
        stamp = self._files.stamp(self._prefix)
        before, self._stamps = self._stamps, (self._stamps[1], stamp)
        changed = stamp is None or before != (stamp, stamp)
        return changed or self._clock - self._looked >= _TOUCHES_CHECK_S

    def _look_at_all(self) -> list[WatchEvent]:
        found = list(self._files.scan(self._prefix))
        self._looked, self._missed = self._clock, False
        events: list[WatchEvent] = []
        present = set()
        for key, path, facts in found:
            present.add(key)
            events += self._look(key, path, facts)
        for key in self._seen.keys() - present:
            events += self._gone(key, self._seen.pop(key))
        self._blind = self._missed
        return events

    def _look(self, key: str, path: str, facts: FileFacts) -> list[WatchEvent]:
        seen = self._seen.get(key)
        if seen is not None and seen.facts == facts:
            return []
        # An inode may be used again at once, so only the content tells a touch from a new value.
        try:
            envelope = self._files.read(path)
        except OSError as error:
            self._cannot_look(error)
            if seen is not None:  # it was touched
                seen.changed_s = self._clock
            return []
        before = seen.envelope if seen is not None and not seen.expired else None
        self._seen[key] = _Seen(path, facts, envelope, self._clock)
        if envelope is None:
            return [WatchEvent("delete", key)] if before is not None else []
        if before is not None and before.version == envelope.version:
            return []
        return [WatchEvent("put", key, envelope.value)]

    def _cannot_look(self, error: OSError) -> None:
        """Said once until all can be read again."""
        self._missed = True
        if not self._blind:
            self._blind = True
            _log.warning("cannot read discovery, what was there is taken to be there: %s", error.strerror or error)

    def _gone(self, key: str, seen: _Seen) -> list[WatchEvent]:
        return [WatchEvent("delete", key)] if seen.envelope is not None and not seen.expired else []

    def _bury(self) -> list[WatchEvent]:
        """Remove the keys whose lease has run out or whose owner is dead."""
        self._deaths_checked = self._clock
        alive = {key: seen for key, seen in self._seen.items() if seen.envelope and not seen.expired}
        dead = {owner for owner in {seen.envelope.owner for seen in alive.values() if seen.envelope} if is_dead(owner)}
        events = []
        for key, seen in alive.items():
            if seen.envelope and (self._clock - seen.changed_s >= LEASE_S or seen.envelope.owner in dead):
                seen.expired = True
                self._files.reap(seen.path, seen.envelope.version)
                events.append(WatchEvent("delete", key))
        return events

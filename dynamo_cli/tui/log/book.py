"""The lines that are kept in memory: the last ones of each service, so that one that floods pushes out no other's."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from operator import attrgetter

from dynamo_cli.tui.log.entry import Entry

LINES = 10_000
CHARACTERS = 4_000_000
"""The most of one service, of both."""


class Book:
    def __init__(self, lines: int = LINES, characters: int = CHARACTERS) -> None:
        self._lines = lines
        self._characters = characters
        self._entries: dict[str, deque[Entry]] = {}
        self._held: dict[str, int] = {}

    def extend(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            kept = self._entries.setdefault(entry.service, deque())
            kept.append(entry)
            held = self._held.get(entry.service, 0) + len(entry.text)
            while len(kept) > self._lines or held > self._characters:
                held -= len(kept.popleft().text)
            self._held[entry.service] = held

    def of(self, services: Iterable[str] | None = None) -> list[Entry]:
        """Of these services, or of all, in order of arrival."""
        chosen = self._entries.keys() if services is None else services
        return list(heapq.merge(*(self._entries.get(name, ()) for name in chosen), key=attrgetter("number")))

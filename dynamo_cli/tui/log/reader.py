"""Reads the logs of a deployment in a thread of its own, so that no flood of lines keeps a key waiting."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from dynamo_cli.logs.levels import Levels
from dynamo_cli.logs.tail import Line, Tail
from dynamo_cli.tui.log.entry import Entry, readable

LOOK_S = 0.1
HISTORY = 1 << 18
"""Bytes at the end of each file that are read at first."""
FLOOD = 1 << 19
"""Bytes that are read in one look, shared among the files that grow; what a file has more than its share is skipped."""
WAITING = 20_000
"""Entries that wait to be taken; of more the first are dropped."""


class LogReader(threading.Thread):
    """`follow` files, `take` what is new in them. Lines of one look are in order of the times they arrived."""

    def __init__(self) -> None:
        super().__init__(name="log reader", daemon=True)
        self._lock = threading.Lock()
        self._tails: dict[str, tuple[Tail, Path]] = {}
        self._new: dict[str, Path] = {}
        self._waiting: deque[Entry] = deque(maxlen=WAITING)
        self._levels = Levels()
        self._times: dict[str, str] = {}
        self._busy = 1
        self._number = 0
        self._closed = threading.Event()

    def follow(self, files: Iterable[tuple[str, Path]]) -> None:
        """These (service, file) pairs too, where they are new: the last of what is in them, then what comes."""
        with self._lock:
            self._new.update((service, path) for service, path in files if service not in self._tails)

    def take(self) -> list[Entry]:
        """What has come since the last time."""
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
        return taken

    def close(self) -> None:
        self._closed.set()

    def run(self) -> None:
        while not self._closed.wait(LOOK_S):
            self.look()
        for tail, _ in self._tails.values():
            tail.close()

    def look(self) -> None:
        """One round over all files."""
        entries = sorted(self._read(), key=lambda entry: entry.time)
        entries = [entry._replace(number=self._number + i) for i, entry in enumerate(entries)]
        self._number += len(entries)
        with self._lock:
            self._waiting.extend(entries)

    def _read(self) -> Iterator[Entry]:
        for service, path in self._begun():
            yield from self._rest(service, path, HISTORY, "earlier ")
        share, busy = FLOOD // self._busy, 0
        for service, (_, path) in self._tails.items():
            entries = list(self._rest(service, path, share))
            busy += bool(entries)
            yield from entries
        self._busy = max(1, busy)

    def _begun(self) -> list[tuple[str, Path]]:
        with self._lock:
            new, self._new = self._new, {}
            self._tails.update((service, (Tail(service, path), path)) for service, path in new.items())
        return list(new.items())

    def _rest(self, service: str, path: Path, most: int, earlier: str = "") -> Iterator[Entry]:
        """The last `most` bytes of the unread lines of a file."""
        tail = self._tails[service][0]
        skipped = tail.skip(most)
        lines = tail.read()
        if skipped:
            words = f"… {skipped:,} {earlier}{'line' if skipped == 1 else 'lines'} skipped, they are in {path}"
            yield Entry(0, service, words, None, lines[0].time if lines else "")
        read = 0
        while lines:
            yield from map(self._entry, lines)
            read += sum(len(line.text) for line in lines)
            lines = tail.read() if read < most else []

    def _entry(self, line: Line) -> Entry:
        """A line without a time has that of the one before."""
        text = readable(line)
        time = self._times[line.service] = line.time or self._times.get(line.service, "")
        return Entry(0, line.service, text, self._levels.of(line.service, text), time)

"""Reading log files that others append to and rotate: what is new, the last lines, many files as one."""

from __future__ import annotations

import contextlib
import gzip
import heapq
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from dynamo_cli.logs.files import archives
from dynamo_cli.logs.stamp import LENGTH, parted
from dynamo_cli.runtime.redact import redact

MAX_LINE = 8192
"""Bytes of a line that are shown; the rest of a longer one is dropped."""
CHUNK = 1 << 16
CHUNKS_A_LOOK = 8
SKIPPED = 1 << 20
"""Bytes that are passed over at a time."""


class Line(NamedTuple):
    """`time`: when it arrived, RFC 3339 in UTC; empty for a line without a stamp. Secrets in `text` are covered."""

    service: str
    text: str
    time: str = ""


class Tail:
    """The new complete lines of a service's file since the last look, from `offset` on, across rotations.

    The file may not be there yet. `at_end`: the last look found nothing new, not even a part of a line.
    """

    def __init__(self, service: str, path: Path, offset: int = 0) -> None:
        self._service = service
        self._path = path
        self.at_end = False
        self._offset = offset
        self._file: BinaryIO | None = None
        self._partial = b""
        self._skipping = False

    def read(self) -> list[Line]:
        """At most one chunk's worth, so that a flood of output stays bounded; call again for more."""
        chunk = self._read()
        if not chunk and self._moved_on():
            chunk = self._read()  # written after our look and before the file was moved away
            if not chunk:
                self._begin_anew()
                chunk = self._read()
        self.at_end = not chunk
        return self._split(chunk) if chunk else []

    def skip(self, keep: int) -> int:
        """Pass over what is unread but for its last `keep` bytes or fewer; how many lines are left out by that."""
        if not self._open():
            return 0
        assert self._file
        here = self._file.tell()
        target = os.fstat(self._file.fileno()).st_size - keep
        if target <= here:
            return 0
        lines, last = 0, b""
        while here < target and (chunk := self._file.read(min(SKIPPED, target - here))):
            lines, here, last = lines + chunk.count(b"\n"), here + len(chunk), chunk[-1:]
        self._partial, self._skipping = b"", last != b"\n"
        return lines + self._skipping

    @property
    def unfinished(self) -> str:
        """The line that is being written, such as a progress bar that is drawn anew again and again."""
        return _line(self._service, self._partial).text if self._partial else ""

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _read(self) -> bytes:
        if not self._open():
            return b""
        assert self._file
        return self._file.read(CHUNK)

    def _open(self) -> bool:
        if self._file is None:
            try:
                self._file = self._path.open("rb", buffering=0)
            except FileNotFoundError:
                return False
            size = os.fstat(self._file.fileno()).st_size
            self._file.seek(self._offset if self._offset <= size else 0)
        return True

    def _moved_on(self) -> bool:
        """Whether the name stands for another file now, or this one was cut short: then its start is next."""
        if self._file is None:
            return False
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(self._file.fileno())
        return now.st_ino != ours.st_ino or now.st_size < self._file.tell()

    def _begin_anew(self) -> None:
        self.close()
        self._offset, self._partial, self._skipping = 0, b"", False

    def _split(self, chunk: bytes) -> list[Line]:
        *complete, rest = (self._partial + chunk).split(b"\n")
        if complete and self._skipping:
            complete, self._skipping = complete[1:], False
        if len(rest) > MAX_LINE:
            if not self._skipping:
                complete.append(rest[:MAX_LINE])
            rest, self._skipping = b"", True
        self._partial = rest
        return [_line(self._service, line) for line in complete]


class LogFollower:
    """What is appended to (service, file) pairs from now on."""

    def __init__(self, files: Sequence[tuple[str, Path]]) -> None:
        self._tails = {
            service: Tail(service, path, path.stat().st_size if path.exists() else 0) for service, path in files
        }

    def follow(self, files: Iterable[tuple[str, Path]]) -> None:
        """The whole of these too, where they are new."""
        for service, path in files:
            if service not in self._tails:
                self._tails[service] = Tail(service, path)

    def read(self) -> Iterator[Line]:
        """What is new, up to a bound for each file; nothing when there is nothing."""
        for tail in list(self._tails.values()):
            for _ in range(CHUNKS_A_LOOK):
                yield from tail.read()
                if tail.at_end:
                    break

    def rest(self) -> Iterator[Line]:
        """All that is new, when nobody writes any more."""
        for tail in self._tails.values():
            yield from tail.read()
            while not tail.at_end:
                yield from tail.read()

    def close(self) -> None:
        for tail in self._tails.values():
            tail.close()


def last_lines(path: Path, count: int, since: int = 0) -> list[str]:
    """The last `count` non-empty lines written after byte `since`, by reading the file's end only."""
    return [line.text for line in _last("", path, count, since)]


def merged(files: Sequence[tuple[str, Path]], count: int | None = None) -> Iterator[Line]:
    """All lines of (service, file) pairs with their archives, or the last `count` of each file, in order of time."""
    return (line for _, _, line in heapq.merge(*(_timed(i, *file, count) for i, file in enumerate(files))))


def _timed(index: int, service: str, path: Path, count: int | None) -> Iterator[tuple[str, int, Line]]:
    now = ""
    for line in _all(service, path) if count is None else _last_of_all(service, path, count):
        now = max(now, line.time)
        yield now, index, line


def _last(service: str, path: Path, count: int, since: int = 0) -> list[Line]:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            since = since if since <= size else 0
            start, shown = size, [b""]
            while start > since and len(shown) <= count:
                start = max(since, size - 2 * max(CHUNK // 2, size - start))
                file.seek(start)
                lines = file.read(size - start).split(b"\n")[1 if start > since else 0 :]
                shown = [line for line in lines if parted(line)[1].strip()]
    except FileNotFoundError:
        return []
    return [_line(service, line) for line in shown[max(0, len(shown) - count) :] if line]


def _last_of_all(service: str, path: Path, count: int) -> list[Line]:
    """From the archives too when the file itself holds fewer."""
    lines = _last(service, path, count)
    if len(lines) < count and archives(path):
        return list(deque((line for line in _all(service, path) if line.text.strip()), count))
    return lines


def _all(service: str, path: Path) -> Iterator[Line]:
    for part in [*archives(path), path]:
        with contextlib.suppress(FileNotFoundError, EOFError, gzip.BadGzipFile):  # rotated away meanwhile
            with gzip.open(part) if part.suffix == ".gz" else part.open("rb") as file:
                yield from (_line(service, line) for line in _bounded(file))


def _bounded(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE):
        yield line
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE)


def _line(service: str, line: bytes) -> Line:
    time, text = parted(line[: MAX_LINE + LENGTH])
    return Line(service, redact(text.rstrip(b"\r\n").decode("utf-8", "replace")), time)

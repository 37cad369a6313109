"""Reading log files that others append to: what is new, the last lines, many files as one."""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAX_LINE = 8192
"""Bytes of a line that are shown; the rest of a longer one is dropped."""
CHUNK = 1 << 16
CHUNKS_A_LOOK = 8
TIME = re.compile(r"(?:\d{4}-\d\d-\d\d[T ])?(\d\d:\d\d:\d\d(?:[.,]\d+)?)")


class Line(NamedTuple):
    service: str
    text: str


class Tail:
    """The new complete lines of a file since the last look, from `offset` on. The file may not be there yet."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._offset = offset
        self._partial = b""
        self._skipping = False

    def read(self) -> list[str]:
        """At most one chunk's worth, so that a flood of output stays bounded; call again for more."""
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._offset:
                    self._offset, self._partial, self._skipping = 0, b"", False
                if size == self._offset:
                    return []
                file.seek(self._offset)
                chunk = file.read(CHUNK)
        except FileNotFoundError:
            return []
        self._offset += len(chunk)
        return self._split(chunk)

    def _split(self, chunk: bytes) -> list[str]:
        *complete, rest = (self._partial + chunk).split(b"\n")
        if complete and self._skipping:
            complete, self._skipping = complete[1:], False
        if len(rest) > MAX_LINE:
            if not self._skipping:
                complete.append(rest[:MAX_LINE])
            rest, self._skipping = b"", True
        self._partial = rest
        return [_text(line) for line in complete]


class LogFollower:
    """What is appended to (service, file) pairs from the moment it is made."""

    def __init__(self, files: Sequence[tuple[str, Path]]) -> None:
        self._tails = [(service, Tail(path, path.stat().st_size if path.exists() else 0)) for service, path in files]

    def read(self) -> Iterator[Line]:
        """What is new, up to a bound for each file; nothing when there is nothing."""
        for service, tail in self._tails:
            for _ in range(CHUNKS_A_LOOK):
                lines = tail.read()
                yield from (Line(service, text) for text in lines)
                if not lines:
                    break


def last_lines(path: Path, count: int, since: int = 0) -> list[str]:
    """The last `count` non-empty lines written after byte `since`, by reading the file's end only."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = max(since, size - CHUNK)
            file.seek(start)
            lines = file.read(CHUNK).split(b"\n")
    except FileNotFoundError:
        return []
    if start > since:
        lines = lines[1:]
    return [_text(line) for line in lines if line.strip()][-count:]


def merged(files: Sequence[tuple[str, Path]], count: int | None = None) -> Iterator[Line]:
    """All lines of (service, file) pairs, or the last `count` of each, ordered by the time they start with, if any."""
    return (line for _, _, line in heapq.merge(*(_timed(i, *file, count) for i, file in enumerate(files))))


def _timed(index: int, service: str, path: Path, count: int | None) -> Iterator[tuple[str, int, Line]]:
    now = ""
    for text in _lines(path) if count is None else last_lines(path, count):
        found = TIME.match(text)
        now = max(now, found.group(1)) if found else now
        yield now, index, Line(service, text)


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            yield from map(_text, _bounded(file))
    except FileNotFoundError:
        return


def _bounded(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE):
        yield line
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE)


def _text(line: bytes) -> str:
    return line[:MAX_LINE].rstrip(b"\r\n").decode("utf-8", "replace")

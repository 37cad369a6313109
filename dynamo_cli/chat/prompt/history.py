"""The messages typed in earlier chats, one JSON string a line, for this user alone."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

KEPT = 1000
LONGEST = 10_000
"""Letters of a message worth remembering."""


class History:
    """A file that cannot be read or written is no reason not to chat."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[str]:
        """The latest messages, oldest first; a file grown too long is cut."""
        lines = self._lines()
        if len(lines) > 2 * KEPT:
            self._cut(lines[-KEPT:])
        return [message for line in lines[-KEPT:] if (message := _decode(line))]

    def add(self, message: str) -> None:
        if len(message) > LONGEST:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(self._path, os.O_APPEND, [msgspec.json.encode(message)])

    def _lines(self) -> list[bytes]:
        try:
            return self._path.read_bytes().splitlines() if self._path.is_file() else []
        except OSError:
            return []

    def _cut(self, lines: list[bytes]) -> None:
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self._write(draft, os.O_TRUNC, lines)
            draft.replace(self._path)

    def _write(self, path: Path, how: int, lines: list[bytes]) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | how, 0o600)
        with open(descriptor, "wb") as file:
            file.write(b"".join(line + b"\n" for line in lines))


def _decode(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""

"""Files of gzip members, each of which can be read as soon as it is written, whatever happens to the writer."""

from __future__ import annotations

import gzip
import itertools
import os
from pathlib import Path

LEVEL = 3
"""Of compression: hashes do not get smaller by trying harder."""


class Segments:
    """`<prefix>.<pid>.<number>.jsonl.gz`, private to the user. Raises OSError."""

    def __init__(self, prefix: Path, roll_bytes: int) -> None:
        self._prefix = prefix
        self._roll_bytes = roll_bytes
        self._numbers = itertools.count()
        self._file = -1
        self._held = 0

    def write(self, lines: bytes) -> None:
        """As one member of the current segment, or of a new one when that is full."""
        if self._file < 0 or self._held >= self._roll_bytes:
            self.close()
            self._file = self._open()
        member = memoryview(gzip.compress(lines, LEVEL))
        while member:
            member = member[os.write(self._file, member) :]
        self._held += len(lines)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._held = -1, 0

    def _open(self) -> int:
        """Never a file that is there: it may be of an earlier process with our number, or somebody's trap."""
        for number in self._numbers:
            name = f"{self._prefix}.{os.getpid()}.{number:06d}.jsonl.gz"
            try:
                return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                continue
        raise AssertionError

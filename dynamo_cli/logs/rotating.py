"""One log file: every line stamped as it arrives, older parts archived, a full disk survived.

Standard library only: the keeper uses it.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from dynamo_cli.logs.files import archive_number, archives
from dynamo_cli.logs.stamp import stamp

FAST = 1
"""gzip's level: logs shrink to a tenth already."""
COPY_BYTES = 1 << 20
NEWLINE = ord("\n")


class Compressor:
    """Compresses archives in a thread, one after another. What it has not come to stays as it is, and readable."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, archive: Path) -> None:
        self._queue.put(archive)

    def close(self, timeout_s: float) -> None:
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while archive := self._queue.get():
            draft = archive.with_name(f"{archive.name}.part")
            try:
                with archive.open("rb") as plain, gzip.open(draft, "wb", FAST) as packed:
                    shutil.copyfileobj(plain, packed, COPY_BYTES)
                draft.replace(archive.with_name(f"{archive.name}.gz"))
                archive.unlink()
            except OSError:
                with contextlib.suppress(OSError):
                    draft.unlink()


class RotatingLog:
    """Takes bytes however they are cut. At `max_bytes` the file becomes an archive; `keep` archives are kept."""

    def __init__(
        self,
        file: Path,
        *,
        max_bytes: int,
        keep: int,
        compress: Callable[[Path], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._keep = keep
        self._compress = compress
        self._clock = clock
        self._handle = -1
        self._size = 0
        self._at_start = True
        self._lost = 0
        self._why = ""

    def write(self, data: bytes) -> None:
        """Never raises and never waits for more: what cannot be written is counted and told later."""
        if self._size >= self._max_bytes and (self._at_start or self._size >= 2 * self._max_bytes):
            self._rotate()
        mark = f"{stamp(self._clock())} ".encode()
        ends_line = data.endswith(b"\n")
        body = (data[:-1] if ends_line else data).replace(b"\n", b"\n" + mark)
        confession = self._confession(mark) if self._lost else b""
        begins = mark if self._at_start or confession else b""
        self._append(confession + begins + body + (b"\n" if ends_line else b""), data.count(b"\n"))

    def close(self) -> None:
        """The last line is ended if its writer did not."""
        if not self._at_start:
            self._append(b"\n", 0)
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _confession(self, mark: bytes) -> bytes:
        torn = b"" if self._at_start else b"\n"
        noun = "line was" if self._lost == 1 else "lines were"
        return torn + mark + f"[{self._lost} {noun} lost: {self._why}]\n".encode()

    def _append(self, out: bytes, lines: int) -> None:
        rest = memoryview(out)
        try:
            if self._handle < 0:
                self._open()
            while rest:
                written = os.write(self._handle, rest)
                self._size += written
                self._at_start = rest[written - 1] == NEWLINE
                rest = rest[written:]
            self._lost, self._why = 0, ""
        except OSError as error:
            self._lost += max(1, lines)
            self._why = error.strerror or "cannot write"

    def _open(self) -> None:
        self._handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._handle).st_size

    def _rotate(self) -> None:
        older = archives(self._file)
        number = archive_number(older[-1]) + 1 if older else 1
        archive = self._file.with_name(f"{self._file.stem}.{number}.log")
        try:
            self._file.rename(archive)
        except OSError:
            self._size = 0  # try again after as much as this
            return
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._size = -1, 0
        for old in older[: max(0, len(older) + 1 - self._keep)]:
            with contextlib.suppress(OSError):
                old.unlink()
        if self._keep:
            self._compress(archive)
        else:
            archive.unlink(missing_ok=True)

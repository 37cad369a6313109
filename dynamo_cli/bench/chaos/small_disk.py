"""A disk of a megabyte or two, mounted where a deployment keeps something, that can be filled and emptied."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynamo_cli.bench.chaos.skipped import Skipped

CHUNKS = (1 << 16, 1 << 12, 1)


class SmallDisk:
    def __init__(self, directory: Path) -> None:
        self._filler = directory / ".filler"

    def fill(self) -> None:
        """To the last byte. What others free is taken by the next call."""
        handle = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in CHUNKS:
                _write_until_full(handle, bytes(size))
        finally:
            os.close(handle)

    def empty(self) -> None:
        self._filler.unlink()


@contextmanager
def small_disk(directory: Path, kib: int) -> Iterator[SmallDisk]:
    """Raises Skipped where none can be mounted."""
    directory.mkdir(parents=True, mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=0700", "chaos", str(directory)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise Skipped("there is no mount command") from None
    if done.returncode:
        raise Skipped(
            f"a small disk cannot be mounted (try as root, or `unshare -rm make chaos`): {done.stderr.strip()}"
        )
    try:
        yield SmallDisk(directory)
    finally:
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(["umount", "--lazy", str(directory)], check=False, capture_output=True)


def _write_until_full(handle: int, data: bytes) -> None:
    try:
        while os.write(handle, data):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise

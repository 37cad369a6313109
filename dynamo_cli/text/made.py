"""Remembers which bundle was made of which file: to make it again is half of what the start of a worker takes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

from dynamo_cli import __version__

_FRESH_S = 2.0
"""A file changed so lately may change again without its time showing it."""
_MAKERS = (Path(__file__).parent, Path(__file__).parents[1] / "hub")


class Note:
    """What is remembered of one file, under `shelf`, as long as neither it nor this program changes.

    It is a shortcut: whatever goes wrong with it is as if nothing was remembered.
    """

    def __init__(self, shelf: Path, file: Path) -> None:
        self._path: Path | None = None
        with contextlib.suppress(OSError):
            facts = os.stat(file)
            if time.time() - max(facts.st_mtime, facts.st_ctime) > _FRESH_S:
                self._path = shelf / _digest(f"{__version__} {file.absolute()} {_state(facts)}")

    def read(self) -> str:
        """The bundle's name, or nothing."""
        with contextlib.suppress(OSError):
            if self._path is not None:
                return self._path.read_text("ascii")
        return ""

    def write(self, name: str) -> None:
        with contextlib.suppress(OSError):
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
                fresh.write_text(name, "ascii")
                fresh.replace(self._path)


def _digest(words: str) -> str:
    digest = hashlib.sha256(words.encode("utf-8", "surrogateescape"))
    for maker in _MAKERS:
        for source in sorted(maker.glob("*.py")):
            digest.update(_state(source.stat()).encode())
    return digest.hexdigest()[:32]


def _state(facts: os.stat_result) -> str:
    return f"{facts.st_dev} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}\n"

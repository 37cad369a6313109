"""Shared memory that processes leave behind when they are killed: nobody else would ever free it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress

_SEGMENT = re.compile(r"/dev/shm/(?:psm_|sem\.mp-)\S+", re.ASCII)
"""As Python's multiprocessing names them, at random; those of an engine's processes are theirs alone."""


def segments_of(pid: int | str) -> set[str]:
    """Paths of the segments a process has mapped, which "self" is too; none where there is no /proc."""
    try:
        with open(f"/proc/{pid}/maps") as maps:
            return set(_SEGMENT.findall(maps.read()))
    except OSError:
        return set()


def remove(segments: Iterable[str]) -> None:
    for path in segments:
        with suppress(OSError):
            os.unlink(path)

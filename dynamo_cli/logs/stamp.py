"""The time at which a line arrived, in front of it: RFC 3339, UTC, milliseconds. Their order is that of time."""

from __future__ import annotations

import re
import time

STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")
LENGTH = len("2026-01-02T03:04:05.678Z ")


def stamp(seconds: float) -> str:
    """Of a time since the epoch, without the blank."""
    whole = int(seconds)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((seconds - whole) * 1000):03d}Z"


def parted(line: bytes) -> tuple[str, bytes]:
    """A line's stamp, empty without one, and the rest."""
    if STAMP.match(line):
        return line[: LENGTH - 1].decode(), line[LENGTH:]
    return "", line

"""A Python traceback as short as it says anything: its last frame and the error."""

from __future__ import annotations

import re
from collections.abc import Iterable

BEGIN = "Traceback (most recent call last):"
LINKS = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_FRAME = re.compile(r'(?P<indent>.*?)  File "[^"]*", line \d+')


def without_frames(lines: Iterable[str]) -> list[str]:
    """The lines without blank ones and without all but the last frame of each traceback."""
    kept: list[str] = []
    frame: list[str] = []
    within = False
    for line in filter(str.strip, lines):
        if BEGIN in line or line.strip() in LINKS:
            within, frame = within or BEGIN in line, []
        elif within and _FRAME.match(line):
            frame = [line]
        elif within and frame and line.startswith(" "):
            frame.append(line)
        else:
            kept += [*_pointed(frame), line]
            within, frame = False, []
    return [*kept, *_pointed(frame)]


def _pointed(frame: list[str]) -> list[str]:
    """Without the marks below its source."""
    return [line for line in frame if line.strip("~^ ")]

"""One line of a phase table: which lines say that a phase has begun, and how far it is."""

from __future__ import annotations

import re
from collections import deque
from typing import Literal, NamedTuple

from dynamo_cli.runtime.control import Progress

Phase = Literal[
    "starting",
    "download",
    "convert",
    "load",
    "weights",
    "compile",
    "KV cache",
    "graph capture",
    "warm-up",
    "first token",
    "registering",
]
"""In the order in which engines go through them, by and large."""
BAR = re.compile(r"(\d+(?:\.\d+)?)%(?: Completed)? ?\|(?:[^|]*\|)? *(\d+)/(\d+) ")
"""tqdm's, and vLLM's form of it: `38%|███▊   | 3/8 [00:12<`, `38% Completed | 3/8 [00:12<`."""
SHARE = re.compile(r"(\d+(?:\.\d+)?)%(?: Completed)? ?\|")
"""A bar that counts bytes: `23%|██▎   | 1.12G/4.87G [`."""


class Rule(NamedTuple):
    """A line that holds `mark` belongs to `phase`. `bar`: it draws its progress, if it is one of `bar` itself."""

    phase: Phase
    mark: str
    bar: bool = False

    def progress(self, line: str) -> Progress | None:
        """How far the phase is, None for a line that does not tell."""
        return bar_progress(line) if self.bar else None


def bar_progress(line: str) -> Progress | None:
    """Of the last bar in the line: one that is drawn anew is one line with many."""
    counted = _last(BAR, line)
    if counted:
        return Progress(float(counted[1]), int(counted[2]), int(counted[3]))
    share = _last(SHARE, line)
    return Progress(float(share[1])) if share else None


def _last(pattern: re.Pattern[str], line: str) -> re.Match[str] | None:
    return next(iter(deque(pattern.finditer(line), maxlen=1)), None)

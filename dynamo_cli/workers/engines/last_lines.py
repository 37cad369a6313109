"""What the process of an engine wrote last, and how it ended, in words."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque

KEPT = 3
_LINE = 1 << 16
_TOLD_TO = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
"""Signals that come from elsewhere: nothing it wrote explains them."""
_NAMES = {one.value: one.name for one in signal.Signals}


class LastLines:
    """Passes what arrives at `writing` on to our own stderr, in a thread, and keeps the last lines of it.

    Give `writing` to the process as its stderr and then call `started`.
    """

    def __init__(self) -> None:
        self._kept: deque[str] = deque(maxlen=KEPT)
        self._reading, self.writing = os.pipe()
        self._thread = threading.Thread(target=self._pass_on, name="engine-output", daemon=True)

    def started(self) -> None:
        os.close(self.writing)
        self._thread.start()

    def ended(self) -> list[str]:
        """The last lines, once nobody can write any more, or a second has passed."""
        if self._thread.ident is None:
            os.close(self.writing)
            os.close(self._reading)
        else:
            self._thread.join(1.0)
        return list(self._kept)

    def _pass_on(self) -> None:
        with open(self._reading, "rb") as lines:
            while line := lines.readline(_LINE):
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()
                if text := line.decode("utf-8", "replace").strip():
                    self._kept.append(text)


def how_it_ended(name: str, code: int, lines: list[str]) -> str:
    """`code` is negative for a signal."""
    if code < 0:
        words = f"{name} was ended by {_NAMES.get(-code, f'signal {-code}')}"
    else:
        words = f"{name} exited with code {code}"
    if not lines or -code in _TOLD_TO:
        return words
    return f"{words}; it wrote last: {' | '.join(lines)}"

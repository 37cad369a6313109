"""A block of lines that is written again and again, in place on a terminal; q ends it there."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import time
from collections.abc import Iterator

KEYS = b"qQ"
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""To a screen of its own without a cursor, and back."""
HOME, END_OF_LINE, END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class Screen:
    """`wait` between one `show` and the next, within `with`."""

    def __init__(self) -> None:
        self._reads_keys = False

    def __enter__(self) -> Screen:
        self._restored = contextlib.ExitStack()
        if sys.stdin.isatty():
            self._restored.enter_context(_single_keys())
            self._reads_keys = True
        sys.stdout.write(ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
        self._restored.close()

    @property
    def size(self) -> tuple[int, int]:
        """Letters of a line, and lines."""
        columns, lines = shutil.get_terminal_size()
        return columns, lines

    def show(self, lines: list[str]) -> None:
        """As many of the lines as there is room for."""
        shown = [f"{line}{END_OF_LINE}" for line in lines[: self.size[1]]]
        sys.stdout.write(HOME + "\r\n".join(shown) + END_OF_SCREEN)
        sys.stdout.flush()

    def wait(self, seconds: float) -> bool:
        """False when somebody has pressed q meanwhile."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not self._reads_keys:
                time.sleep(left)
            elif select.select([sys.stdin], [], [], left)[0]:
                keys = os.read(sys.stdin.fileno(), 64)
                if any(key in KEYS for key in keys):
                    return False
                self._reads_keys = bool(keys)  # nothing: it was closed
        return True


class Plain:
    """The same for a stream that is no terminal: one block after the other, with a `gap` between them or none."""

    def __init__(self, gap: bool) -> None:
        self._gap = gap
        self._before: list[str] = []

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def size(self) -> tuple[int, int]:
        columns, lines = shutil.get_terminal_size()
        return columns, lines

    def show(self, lines: list[str]) -> None:
        sys.stdout.write("\n".join([*self._before, *lines, ""]))
        sys.stdout.flush()
        self._before = [""] if self._gap else []

    def wait(self, seconds: float) -> bool:
        time.sleep(seconds)
        return True


@contextlib.contextmanager
def _single_keys() -> Iterator[None]:
    """Keys come as they are pressed and are not shown; Ctrl-C interrupts as ever."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)

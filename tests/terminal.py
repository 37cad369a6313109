"""A command in a pseudo-terminal of its own: what a person types and sees."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

DYNAMO = 'runpy.run_module("dynamo_cli", run_name="__main__")'
OWN_TERMINAL = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
"""
"""So that Ctrl-C typed here reaches the command as it does in a real terminal."""


class Terminal:
    """`seen` is what came since the last thing waited for. `program`: a statement that runs it."""

    def __init__(
        self, *args: str, program: str = DYNAMO, term: str = "xterm-256color", columns: int = 80, rows: int = 24
    ) -> None:
        self._main, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environ = {**os.environ, "TERM": term}
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWN_TERMINAL + program, *args],
            stdin=end,
            stdout=end,
            stderr=end,
            env=environ,
            start_new_session=True,
        )
        os.close(end)
        self.seen = ""
        self._open = True

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def wait_for(self, text: str, timeout_s: float = 20.0) -> str:
        """Returns what was shown before it."""
        deadline = time.monotonic() + timeout_s
        while text not in self.seen:
            ready = select.select([self._main], [], [], max(0.0, deadline - time.monotonic()))[0]
            assert ready, f"{text!r} is not in {self.seen!r}"
            self.seen += os.read(self._main, 65536).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def rest(self) -> str:
        """All that is shown until the command has closed the terminal."""
        with contextlib.suppress(OSError):  # EIO
            while more := os.read(self._main, 65536):
                self.seen += more.decode(errors="replace")
        return self.seen

    def settings(self) -> list[object]:
        """As termios gives them."""
        return termios.tcgetattr(self._main)

    def hang_up(self) -> None:
        """The window is closed."""
        if self._open:
            os.close(self._main)
            self._open = False

    def end(self) -> int:
        """The exit code of a command that ends by itself."""
        return self.process.wait(20)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        self.hang_up()

"""A chat, or another command, in a pseudo-terminal: what a person types and sees."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

import psutil

from tests.supervisor.harness import until

CHAT = [sys.executable, "-m", "dynamo_cli", "chat"]
OWN_TERMINAL = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("dynamo_cli", run_name="__main__")
"""
"""So that Ctrl-C typed here reaches the chat as it does in a real terminal."""


class Terminal:
    """`seen` is what came since the last thing waited for."""

    def __init__(
        self, *args: str, command: str = "chat", term: str = "xterm-256color", columns: int = 80, rows: int = 24
    ) -> None:
        self._main, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environ = {**os.environ, "TERM": term}
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWN_TERMINAL, command, *args],
            stdin=end,
            stdout=end,
            stderr=end,
            env=environ,
            start_new_session=True,
        )
        os.close(end)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def wait_for(self, text: str, timeout_s: float = 20.0) -> str:
        """Returns what was shown before it."""
        deadline = time.monotonic() + timeout_s
        while text not in self.seen:
            ready = select.select([self._main], [], [], max(0.0, deadline - time.monotonic()))[0]
            assert ready, f"{text!r} is not in {self.seen!r}"
            self.seen += os.read(self._main, 65536).decode()
        before, _, self.seen = self.seen.partition(text)
        return before

    def prompt(self) -> None:
        """Until a line is waited for; a signal that comes a moment earlier is not heard before the next key."""
        self.wait_for("> ")
        process = psutil.Process(self.process.pid)
        until(lambda: process.status() == psutil.STATUS_SLEEPING, 20.0, "the prompt to wait")

    def end(self) -> int:
        """The exit code of a chat that leaves by itself."""
        return self.process.wait(20)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        os.close(self._main)

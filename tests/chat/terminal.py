"""A chat in a pseudo-terminal."""

from __future__ import annotations

import sys

import psutil

from tests import terminal
from tests.supervisor.harness import until

CHAT = [sys.executable, "-m", "dynamo_cli", "chat"]


class Terminal(terminal.Terminal):
    """What a person types and sees who chats."""

    def __init__(self, *args: str, term: str = "xterm-256color", columns: int = 80, rows: int = 24) -> None:
        super().__init__("chat", *args, term=term, columns=columns, rows=rows)

    def prompt(self) -> None:
        """Until a line is waited for; a signal that comes a moment earlier is not heard before the next key."""
        self.wait_for("> ")
        process = psutil.Process(self.process.pid)
        until(lambda: process.status() == psutil.STATUS_SLEEPING, 20.0, "the prompt to wait")

    def __enter__(self) -> Terminal:
        return self

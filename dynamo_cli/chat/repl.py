"""The interactive chat: a message is a question, one that starts with / is a command."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from dynamo_cli.chat.commands import Commands
from dynamo_cli.chat.prompt.message import read_message
from dynamo_cli.chat.session import Session

_COMMAND = re.compile(r"/[a-z]*( [^\n]*)?")  # /usr/bin is none, nor is a paste that begins with /*


class Repl:
    """`read` gives the next line for a prompt, as input() does; `remember` gets every message."""

    def __init__(
        self,
        session: Session,
        commands: Commands,
        read: Callable[[str], str],
        remember: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._session = session
        self._commands = commands
        self._read = read
        self._remember = remember

    def run(self) -> None:
        """Until /quit, the end of input, or Ctrl-C twice in a row. Once, it gives up what is typed or under way."""
        interrupts = 0
        with suppress(EOFError):
            while interrupts < 2:
                try:
                    message = read_message(self._read)
                    interrupts = 0
                    if message:
                        self._take(message)
                except KeyboardInterrupt:  # noqa: PERF203
                    interrupts += 1
                    self._session.say("" if interrupts > 1 else "  (Ctrl-C again, or Ctrl-D, leaves)")

    def _take(self, message: str) -> None:
        self._remember(message)
        if _COMMAND.fullmatch(message):
            self._commands.run(message)
        else:
            self._session.ask(message)

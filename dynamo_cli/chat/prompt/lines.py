"""One edited line of a terminal, through readline where Python has it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from dynamo_cli.chat.prompt.history import History

Complete = Callable[[str], list[str]]
"""What the last word of a line may become."""


class LineReader:
    """`read` raises EOFError at Ctrl-D and KeyboardInterrupt at Ctrl-C. A paste is one line, whatever it holds."""

    def __init__(self, history: History, complete: Complete) -> None:
        self._history = history
        self._complete = complete
        self._found: list[str] = []
        self._last = ""
        self._readline = _import_readline()
        if self._readline is not None:
            self._set_up(self._readline)

    def read(self, prompt: str) -> str:
        return input(prompt)

    def remember(self, message: str) -> None:
        if message == self._last:
            return
        self._last = message
        if self._readline is not None:
            self._readline.add_history(message)
        self._history.add(message)

    def _set_up(self, readline: ModuleType) -> None:
        readline.set_auto_history(False)
        for message in self._history.load():
            readline.add_history(message)
        readline.set_completer_delims(" \t\n")
        readline.set_completer(self._candidate)
        if "libedit" in (readline.__doc__ or ""):
            readline.parse_and_bind("bind ^I rl_complete")
            return
        readline.parse_and_bind("tab: complete")
        readline.parse_and_bind("set enable-bracketed-paste on")

    def _candidate(self, word: str, number: int) -> str | None:
        """readline asks for one after the other until there is none."""
        if number == 0:
            assert self._readline is not None
            self._found = self._complete(self._readline.get_line_buffer()[: self._readline.get_endidx()])
        return self._found[number] if number < len(self._found) else None


def _import_readline() -> ModuleType | None:
    try:
        import readline
    except ImportError:
        return None
    return readline

"""The interactive chat: a line is a question, a line that starts with / is a command."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from typing import TextIO

from dynamo_cli.chat.answer import Answer, Settings
from dynamo_cli.chat.conversation import Conversation
from dynamo_cli.errors import DynamoError

HELP = """\
/help           these lines
/reset          forget the conversation; the system message stays
/system TEXT    set the system message; without TEXT remove it
/quit           leave; so does Ctrl-D
Ctrl-C stops an answer."""

ReadLine = Callable[[], str]


class Repl:
    """`read_line` gives the next line and raises EOFError at the end, as input() does."""

    def __init__(self, settings: Settings, conversation: Conversation, read_line: ReadLine, out: TextIO) -> None:
        self._settings = settings
        self._conversation = conversation
        self._read_line = read_line
        self._out = out
        self._commands: dict[str, Callable[[str], None]] = {
            "/help": lambda _: self._say(HELP),
            "/reset": self._reset,
            "/system": self._system,
        }

    def run(self) -> None:
        """Until /quit or the end of input."""
        with suppress(EOFError):
            while (line := self._next_line()) != "/quit":
                if line.startswith("/"):
                    self._command(line)
                elif line:
                    self._ask(line)

    def _next_line(self) -> str:
        try:
            return self._read_line().strip()
        except KeyboardInterrupt:
            self._say("")
            return ""

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        command = self._commands.get(name)
        if command is None:
            self._say(f"there is no {name}; /help lists what there is")
        else:
            command(rest.strip())

    def _reset(self, _: str) -> None:
        self._conversation.reset()
        self._say("forgotten")

    def _system(self, text: str) -> None:
        self._conversation.system = text
        self._say("system message set" if text else "system message removed")

    def _ask(self, question: str) -> None:
        answer = Answer(self._settings, self._conversation.asking(question))
        try:
            stopped = self._print(answer)
        except DynamoError as error:
            self._say(f"\n[{error}]" if answer.text else f"[{error}]")
            return
        self._say(f"\n[{'stopped; ' if stopped else ''}{answer.figures()}]")
        if answer.text:
            self._conversation.remember(question, answer.text)

    def _print(self, answer: Answer) -> bool:
        """Print the answer as it comes; true when Ctrl-C stopped it."""
        try:
            with closing(answer.stream()) as pieces:
                for piece in pieces:
                    self._out.write(piece)
                    self._out.flush()
        except KeyboardInterrupt:
            return True
        return False

    def _say(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()

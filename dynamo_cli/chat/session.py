"""An interactive chat: where it goes, what was said, what it cost."""

from __future__ import annotations

from contextlib import closing
from shutil import get_terminal_size
from textwrap import fill
from typing import TextIO

from dynamo_cli.chat import keys
from dynamo_cli.chat.answer import Answer
from dynamo_cli.chat.conversation import Conversation, Message
from dynamo_cli.chat.figures import Totals
from dynamo_cli.chat.screen.display import dim, open_display, printable, styled
from dynamo_cli.chat.server import Server
from dynamo_cli.chat.settings import Settings
from dynamo_cli.errors import DynamoError


class Session:
    def __init__(
        self, server: Server, settings: Settings, conversation: Conversation, out: TextIO, markdown: bool = False
    ) -> None:
        self.server = server
        self.settings = settings
        self.conversation = conversation
        self.totals = Totals()
        self.markdown = markdown
        self._out = out
        self._styled = styled(out)

    def ask(self, question: str, settings: Settings | None = None) -> bool:
        """Show the answer and its figures, and remember both question and answer; False when none is worth keeping."""
        answer = Answer(self.server, settings or self.settings, self.conversation.asking(question))
        try:
            stopped = self._show(answer)
        except DynamoError as error:
            self.conversation.unanswered = question
            self.note(f"{error}; the conversation is kept, /retry asks again")
            self.say("")
            return False
        self.totals.add(answer.figures)
        self.note(answer.figures.words(self._room, "stopped" if stopped else ""))
        self.say("")
        if not answer.text.strip():
            self.conversation.unanswered = question
            return False
        message = Message("assistant", answer.text.strip(), answer.reasoning.strip(), stopped)
        self.conversation.remember(question, message)
        return True

    def say(self, text: str) -> None:
        self._write(printable(text))

    def note(self, text: str) -> None:
        """A line about the conversation, not of it."""
        line = f"[{printable(text)}]"
        if self._styled:
            line = dim(fill(line, get_terminal_size().columns, break_long_words=False, break_on_hyphens=False))
        self._write(line)

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()

    def _show(self, answer: Answer) -> bool:
        """True when Ctrl-C stopped it."""
        display = open_display(self._out, self.markdown)
        with keys.unseen():
            try:
                with closing(answer.stream()) as pieces:
                    for piece in pieces:
                        display.show(piece)
            except KeyboardInterrupt:
                return True
            finally:
                display.close()
        return False

    @property
    def _room(self) -> int:
        """The letters of a line between brackets; 0 is any number."""
        return max(1, get_terminal_size().columns - len("[]")) if self._styled else 0

"""The messages of a chat so far."""

from __future__ import annotations

from typing import Literal

import msgspec


class Message(msgspec.Struct, omit_defaults=True, frozen=True):
    """`reasoning` is never sent back to the model. `stopped`: the answer was cut short by the user."""

    role: Literal["system", "user", "assistant"]
    content: str
    reasoning: str = ""
    stopped: bool = False

    def sent(self) -> dict[str, str]:
        return {"role": self.role, "content": self.content}


Turn = tuple[str, Message]


class Conversation:
    """Questions and answers alternate; the system message, if any, stays first and survives a reset.

    `unanswered` is the last question when it has no answer to keep.
    """

    def __init__(self, system: str = "") -> None:
        self.system = system
        self.unanswered = ""
        self._turns: list[Turn] = []

    def __len__(self) -> int:
        """Messages, without the system message."""
        return 2 * len(self._turns)

    @property
    def messages(self) -> list[Message]:
        system = [Message("system", self.system)] if self.system else []
        turns = [message for question, answer in self._turns for message in (Message("user", question), answer)]
        return system + turns

    def asking(self, question: str) -> list[dict[str, str]]:
        """The messages to send for `question`; nothing is remembered yet."""
        return [message.sent() for message in [*self.messages, Message("user", question)]]

    def remember(self, question: str, answer: Message) -> None:
        self._turns.append((question, answer))
        self.unanswered = ""

    def take_last(self) -> Turn | None:
        """Remove the last question with its answer and return both; None when there is none."""
        return self._turns.pop() if self._turns else None

    def reset(self) -> None:
        self._turns.clear()
        self.unanswered = ""

    def replace(self, messages: list[Message]) -> None:
        """Be these messages: a system message or none, then questions and answers in turn."""
        self.reset()
        begins = bool(messages) and messages[0].role == "system"
        self.system = messages[0].content if begins else ""
        turns = messages[begins:]
        self._turns = [(question.content, answer) for question, answer in zip(turns[::2], turns[1::2], strict=True)]

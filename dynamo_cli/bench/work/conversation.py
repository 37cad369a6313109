"""Conversations: one request, or several whose later ones carry the answers to the earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from dynamo_cli.bench.work.body import Message


class Turn(NamedTuple):
    """What the user says next, in parts that are joined by blanks, and the most tokens of the answer."""

    parts: Iterator[str]
    max_tokens: int


@dataclass
class Conversation:
    """Of `length` turns, made when they are asked for. `due_s`: when a trace wants the first one sent, else None."""

    number: int
    turns: Iterator[Turn]
    length: int = 1
    due_s: float | None = None
    history: list[Message] = field(default_factory=list)

    def cut(self, most: int) -> None:
        """Keep only the first `most` turns."""
        if most < self.length:
            self.turns, self.length = islice(self.turns, most), most

    def say(self, text: str) -> None:
        self.history.append({"role": "user", "content": text})

    def hear(self, text: str) -> None:
        self.history.append({"role": "assistant", "content": text})


def no_more_than(requests: int | None, conversations: Iterable[Conversation]) -> Iterator[Conversation]:
    """So many that their turns are `requests` together; the last one may be cut short."""
    left = requests
    for conversation in conversations:
        if left is not None:
            conversation.cut(left)
            left -= conversation.length
        yield conversation
        if left == 0:
            return

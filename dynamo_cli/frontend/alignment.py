"""Which tokens belong to the text that is shown: their logprobs come with it, not before."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from dynamo_cli.protocol.engine import TokenLogprob


class Entry(NamedTuple):
    """`offset`: letters of the choice's text before the token. `logprob` is None for a token of the prompt."""

    token_id: int
    logprob: float | None
    top: list[tuple[int, float]]
    offset: int


class Alignment:
    """Holds tokens back as long as their text is held back: parts of characters, and possible stop strings.

    After a stop string those remain that show at least one letter. `prompt`: entries of an echoed prompt of so many
    `letters`, which come first.
    """

    def __init__(self, prompt: list[Entry] | None = None, letters: int = 0) -> None:
        self._ready = prompt or []
        self._decoded = letters
        self._shown = 0
        self._unfinished: list[Entry] = []
        self._waiting: deque[tuple[Entry, int]] = deque()

    def add(self, found: TokenLogprob, letters: int) -> None:
        """A token that adds so many letters to the text: none while its character is not complete."""
        self._unfinished.append(Entry(found.token_id, found.logprob, found.top, self._decoded))
        if letters:
            self.complete(letters)

    def complete(self, letters: int) -> None:
        """The tokens so far are whole text, of which the last letters are new."""
        self._decoded += letters
        self._waiting += [(entry, self._decoded) for entry in self._unfinished]
        self._unfinished = []

    def release(self, letters: int, last: bool) -> list[Entry]:
        """So many more letters are shown; returns the entries to tell with them. `last`: no more will be."""
        released, self._ready = self._ready, []
        self._shown += letters
        waiting = self._waiting
        while waiting and (waiting[0][1] <= self._shown or (last and waiting[0][0].offset < self._shown)):
            released.append(waiting.popleft()[0])
        return released

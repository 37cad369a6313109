"""The messages of a chat so far."""

from __future__ import annotations


class Conversation:
    """Turns alternate; the system message, if any, stays first and survives a reset."""

    def __init__(self, system: str = "") -> None:
        self.system = system
        self._turns: list[dict[str, str]] = []

    def __len__(self) -> int:
        return len(self._turns)

    def asking(self, question: str) -> list[dict[str, str]]:
        """The messages to send for `question`; nothing is remembered yet."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, *self._turns, {"role": "user", "content": question}]

    def remember(self, question: str, answer: str) -> None:
        self._turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    def reset(self) -> None:
        self._turns.clear()

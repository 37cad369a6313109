"""What one caller of the mock engine has yet to read, and the text it will be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence as Words

from dynamo_cli.protocol.engine import FinishReason
from dynamo_cli.workers.engines.mock.simulation.sequence import Sequence
from dynamo_cli.workers.engines.mock.tokens import absorb, pick


class Stream:
    """`state` stands for all tokens so far: whatever the simulator does, the next token follows from it alone."""

    __slots__ = ("finish", "min_tokens", "said", "sequence", "state", "stop_token_ids", "tokens", "waiter")

    def __init__(self, sequence: Sequence, state: int, min_tokens: int, stop_token_ids: frozenset[int]) -> None:
        self.sequence = sequence
        self.state = state
        self.min_tokens = min_tokens
        self.stop_token_ids = stop_token_ids
        self.said = 0
        self.tokens: list[int] = []
        self.finish: FinishReason | None = None
        self.waiter: asyncio.Future[None] | None = None

    def say(self, words: Words[int], choices: int, finish: FinishReason | None = None) -> FinishReason | None:
        """One more token of `words`, of which there are `choices`; whether that was the last one, and why."""
        if self.finish is not None:
            return self.finish
        token = words[pick(self.state, choices)]
        if token in self.stop_token_ids and self.said >= self.min_tokens:
            finish = "stop"
        else:
            self.state = absorb(self.state, token)
            self.said += 1
            self.tokens.append(token)
            if self.sequence.tail is not None:
                self.sequence.tail.append(token)
        self.finish = finish
        self._wake()
        return finish

    def stop(self, finish: FinishReason) -> None:
        """No more tokens; without effect when it has ended."""
        if self.finish is None:
            self.finish = finish
            self._wake()

    async def more(self) -> None:
        """Until there is something to read."""
        if not self.tokens and self.finish is None:
            self.waiter = asyncio.get_running_loop().create_future()
            await self.waiter
            self.waiter = None

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

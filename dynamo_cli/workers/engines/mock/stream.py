"""What one caller of the mock engine has yet to read, and the text it will be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from collections.abc import Sequence as Words

from dynamo_cli.errors import DynamoError
from dynamo_cli.protocol.engine import FinishReason
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.workers.engines.mock.simulation.sequence import Sequence
from dynamo_cli.workers.engines.mock.tokens import absorb, pick


class Stream:
    """`state` stands for all tokens so far: whatever the simulator does, the next token follows from it alone.

    `handover`: where the KV of its prompt is, until it is here; `transfer` brings it, and `transferred` are then its
    tokens and the seconds that took. `error`: why it finished with "error", if it is not the engine's end.
    """

    __slots__ = (
        "error",
        "finish",
        "handover",
        "min_tokens",
        "read",
        "remember",
        "sequence",
        "state",
        "stop_token_ids",
        "tokens",
        "transfer",
        "transferred",
        "waiter",
    )

    def __init__(self, sequence: Sequence, state: int, min_tokens: int, stop_token_ids: frozenset[int]) -> None:
        self.sequence = sequence
        self.state = state
        self.min_tokens = min_tokens
        self.stop_token_ids = stop_token_ids
        self.remember = None if sequence.tail is None else sequence.tail.append
        self.tokens: list[int] = []
        self.read = 0
        self.finish: FinishReason | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.handover: Handover | None = None
        self.transfer: asyncio.Task[None] | None = None
        self.transferred: tuple[int, float] | None = None
        self.error: DynamoError | None = None

    def stop(self, finish: FinishReason) -> None:
        """No more tokens; without effect when it has ended."""
        if self.finish is None:
            self.finish = finish
            self.wake()

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def more(self) -> None:
        """Until there is something to read."""
        if not self.tokens and self.finish is None:
            self.waiter = asyncio.get_running_loop().create_future()
            await self.waiter
            self.waiter = None


def say_one_more(sequences: Iterable[Sequence], words: Words[int]) -> list[Sequence]:
    """Each sequence's stream gets its next token, one of `words`; those that end because it is a stop token."""
    choices, stopped = len(words), []
    for sequence in sequences:
        stream: Stream = sequence.owner
        token = words[pick(stream.state, choices)]
        if token in stream.stop_token_ids and stream.read + len(stream.tokens) >= stream.min_tokens:
            stream.stop("stop")
            stopped.append(sequence)
            continue
        stream.state = absorb(stream.state, token)
        stream.tokens.append(token)
        if stream.remember is not None:
            stream.remember(token)
        waiter = stream.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
    return stopped

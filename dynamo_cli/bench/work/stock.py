"""Requests written ahead of need, so that writing one delays neither the schedule nor the reading of answers."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from dynamo_cli.bench.work.body import Format
from dynamo_cli.bench.work.conversation import Conversation, Turn
from dynamo_cli.errors import DynamoError

AHEAD = 64
SLICE_S = 0.0002
"""Writing one long prompt takes milliseconds; after this long others get their turn."""


class Prepared(NamedTuple):
    """One request, ready to be sent. `cancel_after`: pieces of the answer after which it is given up; 0 for never."""

    conversation: Conversation
    data: bytes
    turn: int
    max_tokens: int
    cancel_after: int = 0


class Writer:
    """Writes the next request of a conversation. `frame` puts the HTTP head before a body."""

    def __init__(self, form: Format, frame: Callable[[bytes], bytes], cancel_rate: float, seed: int) -> None:
        self._form = form
        self._frame = frame
        self._cancel_rate = cancel_rate
        self._seed = seed

    async def write(self, conversation: Conversation) -> Prepared | None:
        """None after the last turn."""
        turn = next(conversation.turns, None)
        if turn is None:
            return None
        conversation.say(await _text(turn))
        number = len(conversation.history) // 2
        data = self._frame(self._form.body(conversation.history, turn.max_tokens))
        cancel_after = self._cancel_after(conversation.number, number, turn.max_tokens)
        return Prepared(conversation, data, number, turn.max_tokens, cancel_after)

    def _cancel_after(self, conversation: int, turn: int, max_tokens: int) -> int:
        if not self._cancel_rate:
            return 0
        rng = random.Random(f"{self._seed} cancel {conversation} {turn}")
        return rng.randint(1, max_tokens) if rng.random() < self._cancel_rate else 0


class Stock:
    """The first requests of conversations, in order. A few are kept ready, so memory stays bounded."""

    def __init__(self, writer: Writer, conversations: Iterable[Conversation]) -> None:
        self._ready: asyncio.Queue[Prepared | None] = asyncio.Queue(AHEAD)
        self._task = asyncio.create_task(self._fill(writer, conversations))
        self._empty = False
        self._failure: DynamoError | None = None

    async def filled(self) -> None:
        """Until as much as fits, or all there is, is ready."""
        while not (self._ready.full() or self._task.done()):  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def next(self) -> Prepared | None:
        """None when there are no more. Raises what making the conversations raised."""
        if self._empty:
            return None
        prepared = await self._ready.get()
        if prepared is None:
            self._empty = True
            self._ready.put_nowait(None)  # for the others that wait
        if prepared is None and self._failure is not None:
            raise self._failure
        return prepared

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _fill(self, writer: Writer, conversations: Iterable[Conversation]) -> None:
        try:
            for conversation in conversations:
                await self._ready.put(await writer.write(conversation))
        except DynamoError as error:
            self._failure = error
        await self._ready.put(None)


async def _text(turn: Turn) -> str:
    parts = []
    since = time.perf_counter()
    for part in turn.parts:
        parts.append(part)
        if time.perf_counter() - since > SLICE_S:
            await asyncio.sleep(0)
            since = time.perf_counter()
    return " ".join(parts)

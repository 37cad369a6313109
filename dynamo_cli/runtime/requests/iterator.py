"""A stream of answers as an async iterator, built on the sink."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from dynamo_cli.errors import Cancelled, DynamoError
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.requests.base import Stream, StreamSink

_HIGH = 64


class _Queue:
    """Holds answers until they are asked for; pauses the stream when many wait."""

    def __init__(self) -> None:
        self.stream: Stream | None = None
        self.answers: deque[Any] = deque()
        self.ended = False
        self.error: DynamoError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def on_frame(self, deltas: list[Any]) -> None:
        self.answers.extend(deltas)
        if len(self.answers) > _HIGH and self.stream is not None:
            self.stream.pause()
        self._wake()

    def on_end(self) -> None:
        self.ended = True
        self._wake()

    def on_error(self, error: DynamoError) -> None:
        self.error = error
        self.on_end()

    async def wait(self) -> None:
        if self.stream is not None:
            self.stream.resume()
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


async def iterate(send: Callable[[StreamSink], Stream], context: Context) -> AsyncIterator[Any]:
    """Send when first asked for an answer; closing the iterator cancels the request."""
    queue = _Queue()
    if context.stopped:
        raise Cancelled("the request was cancelled")
    stream = queue.stream = send(queue)

    def stop() -> None:
        stream.cancel()
        queue.on_error(Cancelled("the request was cancelled"))

    context.on_stop(stop)
    try:
        while True:
            while queue.answers:
                yield queue.answers.popleft()
            if queue.error is not None:
                raise queue.error
            if queue.ended:
                return
            await queue.wait()
    finally:
        if not queue.ended:
            stream.cancel()

"""A worker that says nothing until it is let go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.runtime.context import Context
from tests.frontend.toy import echo


class Held:
    """`waiting` are the requests that came and wait; `stopped` counts those whose client went first.

    `before`: so many of the prompt's tokens are said at once. `go` lets all go on.
    """

    def __init__(self, before: int = 0) -> None:
        self.waiting = 0
        self.stopped = 0
        self.go = asyncio.Event()
        self._before = before

    async def __call__(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        for token in request.token_ids[: self._before]:
            yield Delta([token])
        self.waiting += 1
        context.on_stop(self._stop)
        waiters = {asyncio.ensure_future(self.go.wait()), asyncio.ensure_future(context.wait_stopped())}
        await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
        for waiter in waiters:
            waiter.cancel()
        self.waiting -= 1
        if context.stopped:
            yield Delta(finish_reason="cancelled")
            return
        async for delta in echo(request, context):
            yield delta

    def _stop(self) -> None:
        self.stopped += self.waiting > 0

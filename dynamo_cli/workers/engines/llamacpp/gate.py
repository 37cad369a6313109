"""A first come, first served queue for the engine's slots that a stopped request leaves at once."""

from __future__ import annotations

import asyncio
from collections import deque

from dynamo_cli.runtime.context import Context


class Gate:
    def __init__(self, places: int) -> None:
        self._free = places
        self._queue: deque[asyncio.Future[bool]] = deque()

    async def enter(self, context: Context) -> bool:
        """Wait for a place; False when the request was stopped first. Whoever got True calls leave()."""
        if context.stopped:
            return False
        if self._free:
            self._free -= 1
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        context.on_stop(lambda: _give_up(turn))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.leave()
            raise

    def leave(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._free += 1


def _give_up(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)

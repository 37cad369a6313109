"""A first come, first served queue for a fixed number of places that a stopped request leaves at once."""

from __future__ import annotations

import asyncio
from collections import deque

from dynamo_cli.errors import Overloaded
from dynamo_cli.runtime.context import Context


class Gate:
    """`most_waiting`: so many may wait, any number when it is None."""

    def __init__(self, places: int, most_waiting: int | None = None) -> None:
        self.places = places
        self._free = places
        self._most_waiting = most_waiting
        self._queue: deque[asyncio.Future[bool]] = deque()

    @property
    def inside(self) -> int:
        return self.places - self._free

    @property
    def waiting(self) -> int:
        return sum(not turn.done() for turn in self._queue)

    async def enter(self, context: Context) -> bool:
        """Wait for a place; False when the request was stopped first. Whoever got True calls leave().

        Raises Overloaded when too many wait already.
        """
        if context.stopped:
            return False
        if self._free:
            self._free -= 1
            return True
        if self._most_waiting is not None and self.waiting >= self._most_waiting:
            raise Overloaded(f"the worker is at its limit of {self.places} requests, and {self._most_waiting} wait")
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

"""Backpressure: a handler may run ahead of its reader by one window.

An answer costs its bytes on the wire plus what it occupies once decoded. The reader returns the cost of what it has
taken, half a window at a time, so short streams need no window frames at all.
"""

from __future__ import annotations

import asyncio

import msgspec

WINDOW = 64 << 10
DELTA_COST = 64


def cost_beside_payload(stream: int) -> int:
    """What each answer of a stream costs the sender beside its own bytes: its place in a frame, and DELTA_COST.

    Both sides must count alike: what the reader does not return is lost, and a long stream would stop for ever.
    """
    return len(msgspec.msgpack.encode((stream, None))) - len(msgspec.msgpack.encode(None)) + DELTA_COST


class Credit:
    """The sender's side of one stream's window."""

    __slots__ = ("_waiter", "left")

    def __init__(self) -> None:
        self.left = WINDOW
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self) -> None:
        """Until the next wake()."""
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter


class Taken:
    """The reader's side: what it has taken and not yet told the sender."""

    __slots__ = ("cost", "paused")

    def __init__(self) -> None:
        self.cost = 0
        self.paused = False

    def to_return(self) -> int:
        """The cost to tell now, 0 for nothing yet."""
        if self.paused or self.cost < WINDOW // 2:
            return 0
        cost, self.cost = self.cost, 0
        return cost

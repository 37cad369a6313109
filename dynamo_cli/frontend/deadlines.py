"""Answers whose clients wait only so long: one timer for all of them."""

from __future__ import annotations

import asyncio
import heapq
from typing import Protocol

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.runtime.http.request import Request

HEADER = b"x-request-timeout-ms"
LONGEST_MS = 24 * 60 * 60 * 1000
TICK_S = 0.02


def patience_s(request: Request) -> float | None:
    """How long the client of a request waits, None when it does not say. Raises InvalidRequest naming the header."""
    text = request.headers.get(HEADER)
    if text is None:
        return None
    if not text.isdigit() or not 1 <= len(text) <= 8 or not 1 <= int(text) <= LONGEST_MS:
        name = HEADER.decode()
        raise InvalidRequest(f"{name}: want a whole number of milliseconds from 1 to {LONGEST_MS}", name)
    return int(text) / 1000


class Expiring(Protocol):
    def expire(self) -> None: ...


class Deadlines:
    """Who is still here at its time is told so, up to TICK_S late."""

    def __init__(self) -> None:
        self._due: dict[int, set[Expiring]] = {}
        self._ticks: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_tick = 0

    def add(self, item: Expiring, seconds: float) -> int:
        """Returns what `discard` needs."""
        tick = int((asyncio.get_running_loop().time() + seconds) / TICK_S) + 1
        if tick not in self._due:
            self._due[tick] = set()
            heapq.heappush(self._ticks, tick)
            if self._timer is None or tick < self._timer_tick:
                self._schedule()
        self._due[tick].add(item)
        return tick

    def discard(self, item: Expiring, tick: int) -> None:
        waiting = self._due.get(tick)
        if waiting is not None:
            waiting.discard(item)
            if not waiting:
                del self._due[tick]

    def _schedule(self) -> None:
        """The timer is that of the first tick anybody waits for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._ticks and self._ticks[0] not in self._due:
            heapq.heappop(self._ticks)
        if self._ticks:
            self._timer_tick = self._ticks[0]
            self._timer = asyncio.get_running_loop().call_at(self._timer_tick * TICK_S, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time() / TICK_S
        while self._ticks and self._ticks[0] <= now + 1e-6:
            for item in self._due.pop(heapq.heappop(self._ticks), ()):
                item.expire()
        self._schedule()

"""How late the event loop is: what a request that arrives at any moment waits before anybody looks at it."""

from __future__ import annotations

import asyncio
from time import perf_counter

from dynamo_cli.frontend.metrics.buckets import LOOP_DELAY_S
from dynamo_cli.runtime.histogram import Histogram

PERIOD_S = 0.25
STALL_S = 0.005


class LoopDelay:
    """A timer that looks at the clock, from `start` to `close`."""

    def __init__(self) -> None:
        self.delay = Histogram(LOOP_DELAY_S)
        self.stalls = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._due = perf_counter() + PERIOD_S
        self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self._look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        late = max(0.0, perf_counter() - self._due)
        self.delay.observe(late)
        self.stalls += late > STALL_S
        self.start()

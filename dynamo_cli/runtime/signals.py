"""SIGTERM and SIGINT as events: the first asks to stop, the second to do so at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """A context manager for the running loop."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.forced = asyncio.Event()

    def __enter__(self) -> StopSignals:
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)

    def _heard(self) -> None:
        (self.forced if self.asked.is_set() else self.asked).set()


async def until(event: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`, which is cancelled when the event comes first; then None."""
    task = asyncio.ensure_future(work)
    stop = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for other in (task, stop):
            other.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)

from __future__ import annotations

import asyncio
from typing import Protocol


class Flushable(Protocol):
    def flush(self) -> None: ...


class Flusher:
    """Calls every marked object once, after all that this pass of the event loop has read.

    So what arrived for one stream, in however many frames, becomes one event and one write.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._marked: list[Flushable] = []

    def mark(self, item: Flushable) -> None:
        self._marked.append(item)
        if len(self._marked) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        marked, self._marked = self._marked, []
        for item in marked:
            item.flush()

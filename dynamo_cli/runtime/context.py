"""The life of one request as its handler and its caller see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynamo_cli.runtime.trail import Trail


class Context:
    """`stop()` asks the handler to end within one step; it is idempotent and safe to call at any time.

    `id` names the request on the request plane, where it is one of its kind. `trail`: the ids that its client knows.
    """

    __slots__ = ("_callbacks", "id", "stopped", "trail")

    def __init__(self, request_id: str = "", trail: Trail | None = None) -> None:
        self.id = request_id
        self.trail = trail
        self.stopped = False
        self._callbacks: list[Callable[[], None]] = []

    def stop(self) -> None:
        if self.stopped:
            return
        self.stopped = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when stopped; at once when that has already happened."""
        if self.stopped:
            callback()
        else:
            self._callbacks.append(callback)

    async def wait_stopped(self) -> None:
        if self.stopped:
            return
        stopped = asyncio.Event()
        self.on_stop(stopped.set)
        await stopped.wait()

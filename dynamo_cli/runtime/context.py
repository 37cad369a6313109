"""The life of one request as its handler and its caller see it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynamo_cli.runtime.trail import Trail


_log = logging.getLogger(__name__)


class Context:
    """`stop()` asks the handler to end within one step; it is idempotent and safe to call at any time.

    `id` names the request on the request plane, where it is one of its kind. `asked_by`: the trail of who sent it.
    """

    __slots__ = ("_asked_by", "_callbacks", "_trail", "id", "stopped")

    def __init__(self, request_id: str = "", asked_by: Trail | None = None) -> None:
        self.id = request_id
        self._asked_by = asked_by
        self._trail: Trail | None = None
        self.stopped = False
        self._callbacks: list[Callable[[], None]] = []

    @property
    def trail(self) -> Trail | None:
        """The ids that its client knows, and that of the span of what is done here."""
        if self._trail is None and self._asked_by is not None:
            self._trail = self._asked_by.continued()
        return self._trail

    def stop(self) -> None:
        if self.stopped:
            return
        self.stopped = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._call(callback)

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when stopped; at once when that has already happened. One that fails harms no other."""
        if self.stopped:
            self._call(callback)
        else:
            self._callbacks.append(callback)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:
            _log.exception("what was to be done when request %s is stopped failed", self.id)

    async def wait_stopped(self) -> None:
        if self.stopped:
            return
        stopped = asyncio.Event()
        self.on_stop(stopped.set)
        await stopped.wait()

    # What handlers written for the reference call.

    def is_stopped(self) -> bool:
        return self.stopped

    def is_killed(self) -> bool:
        """The same: there is one way to stop here, and a handler that goes on is cancelled a second later."""
        return self.stopped

    def stop_generating(self) -> None:
        self.stop()

    async def async_killed_or_stopped(self) -> bool:
        """True, as soon as it is stopped."""
        await self.wait_stopped()
        return True


current_context: ContextVar[Context | None] = ContextVar("current_context", default=None)
"""Of the request that the running task serves: log lines carry its ids."""

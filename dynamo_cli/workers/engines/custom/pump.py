"""Runs a user's generator so that it can be ended whatever it waits for."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from dynamo_cli.errors import EngineFailed
from dynamo_cli.workers.engines.custom.place import described

_log = logging.getLogger("dynamo.custom")
AHEAD = 16
"""Items that wait to be read before the generator is held; one that never waits lets others run this often."""
END_S = 1.0


class Pump:
    """An async iterator over `answers`, which run in a task of their own. Close it."""

    def __init__(self, answers: AsyncIterator[Any]) -> None:
        self._answers = answers
        self._items: deque[Any] = deque()
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self.on_close: Callable[[], None] = lambda: None
        self._task = asyncio.create_task(self._run())

    def __aiter__(self) -> Pump:
        return self

    async def __anext__(self) -> Any:
        """The next item; raises what the generator raised, or what it was ended with."""
        while not self._items:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        item = self._items.popleft()
        _wake(self._room)
        return item

    def end(self, error: Exception | None = None) -> None:
        """Nothing more is read; without effect when it has ended."""
        if not self._ended:
            self._items.clear()
            self._finish(error)
            self._task.cancel()

    async def aclose(self) -> None:
        """End the generator and wait for what it does at its end."""
        self.end()
        self.on_close()
        await asyncio.wait({self._task}, timeout=END_S)
        if not self._task.done():
            _log.warning("a generator goes on %g s after it was cancelled", END_S)

    async def _run(self) -> None:
        error: Exception | None = None
        try:
            async for item in self._answers:
                if self._ended:
                    break
                self._items.append(item)
                _wake(self._reader)
                if len(self._items) >= AHEAD:
                    self._room = asyncio.get_running_loop().create_future()
                    await self._room
        except asyncio.CancelledError as cancelled:
            if not self._ended:  # nobody has ended it here: something it waited for was cancelled
                error = EngineFailed(f"{described(cancelled)}: what generate waited for was cancelled")
                _log.error("%s", error)
        except Exception as failure:
            error = failure
        self._finish(error)
        await self._close_answers()

    def _finish(self, error: Exception | None) -> None:
        if not self._ended:
            self._ended, self._error = True, error
            _wake(self._reader)

    async def _close_answers(self) -> None:
        close = getattr(self._answers, "aclose", None)
        try:
            if close is not None:
                await close()
        except Exception as error:
            _log.warning("a generator failed at its end: %s", described(error))


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)

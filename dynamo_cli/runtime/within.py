"""Waiting with a limit, without losing a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float, awaitable: Awaitable[T]) -> T:
    """The awaitable's result; asyncio.TimeoutError when it takes longer, after cancelling it.

    Before Python 3.12 asyncio.wait_for drops a cancellation that arrives together with the result.
    """
    inner = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait({inner}, timeout=seconds)
    except asyncio.CancelledError:
        inner.cancel()
        raise
    if inner.done():
        return inner.result()
    inner.cancel()
    await asyncio.wait({inner})
    raise asyncio.TimeoutError

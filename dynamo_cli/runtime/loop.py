"""The event loop of a component: uvloop where it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """asyncio.run on the fastest loop there is."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    except KeyboardInterrupt:
        main.close()
        raise
    result: T = uvloop.run(main)
    return result

"""Notices streams that have fallen silent although their worker still answers pings."""

from __future__ import annotations

import asyncio
from typing import Protocol

_LOOKS = 4


class Watched(Protocol):
    """`quiet` counts looks since the last frame: whoever gets one sets it to 0, which is all it costs."""

    quiet: int

    @property
    def paused(self) -> bool: ...

    def fell_silent(self, seconds: float) -> None: ...


class SilenceWatch:
    """A stream without a frame for `timeout_s` seconds, or up to a quarter more, is told so. 0 watches nothing."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, stream: Watched) -> None:
        if not self._timeout_s:
            return
        stream.quiet = 0
        self._watched.add(stream)
        if self._timer is None:
            self._schedule()

    def discard(self, stream: Watched) -> None:
        self._watched.discard(stream)

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._timeout_s / _LOOKS, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._watched:
            self._schedule()
        for stream in list(self._watched):
            stream.quiet = 0 if stream.paused else stream.quiet + 1
            if stream.quiet > _LOOKS:
                stream.fell_silent(self._timeout_s)

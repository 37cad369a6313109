"""What a connection has to send: everything of one pass of the event loop leaves in one write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from dynamo_cli.runtime.links.frames import (
    LENGTH_BYTES,
    MAX_FRAME,
    Frame,
    FrameTooLarge,
    append_frame,
    encode_into,
)
from dynamo_cli.runtime.requests.frames import DELTA_TAG

# A delta frame is built in place: length, array of 2, tag, then an array whose u32 count is known at the flush.
_DELTA_HEAD = b"\0\0\0\0" + bytes([0x92, DELTA_TAG, 0xDD]) + b"\0\0\0\0"
_COUNT_AT = len(_DELTA_HEAD) - 4
_EARLY_FLUSH = 1 << 20


class Outbox:
    """Deltas leave first and in one frame, so an end or error never overtakes an answer of its stream."""

    __slots__ = ("_count", "_deltas", "_frames", "_loop", "_scheduled", "_write", "held")

    def __init__(self, loop: asyncio.AbstractEventLoop, write: Callable[[bytearray], None]) -> None:
        self._loop = loop
        self._write = write
        self._deltas = bytearray(_DELTA_HEAD)
        self._count = 0
        self._frames = bytearray()
        self._scheduled = False
        self.held = False

    @property
    def size(self) -> int:
        return len(self._deltas) + len(self._frames)

    def delta(self, stream: int, answer: Any) -> int:
        """Add an answer; returns its size in bytes. TypeError and FrameTooLarge leave the outbox as it was."""
        buffer = self._deltas
        before = len(buffer)
        try:
            encode_into((stream, answer), buffer, -1)
        except BaseException:
            del buffer[before:]
            raise
        size = len(buffer) - before
        if len(buffer) > _EARLY_FLUSH:
            self._split(before)
        self._count += 1
        if not self._scheduled:
            self._schedule()
        return size

    def frame(self, frame: Frame) -> None:
        append_frame(self._frames, frame)
        if not self._scheduled:
            self._schedule()

    def flush(self) -> None:
        """Write now what has gathered."""
        self._scheduled = False
        if self.held:
            return
        frames, self._frames = self._frames, bytearray()
        if not self._count:
            if frames:
                self._write(frames)
            return
        deltas = self._take_deltas()
        deltas += frames
        self._write(deltas)

    def _schedule(self) -> None:
        self._scheduled = True
        self._loop.call_soon(self.flush)

    def _take_deltas(self) -> bytearray:
        deltas, self._deltas = self._deltas, bytearray(_DELTA_HEAD)
        deltas[:LENGTH_BYTES] = (len(deltas) - LENGTH_BYTES).to_bytes(LENGTH_BYTES, "big")
        deltas[_COUNT_AT : _COUNT_AT + 4] = self._count.to_bytes(4, "big")
        self._count = 0
        return deltas

    def _split(self, last: int) -> None:
        """Send all but the answer that begins at `last`, so that no frame grows over its limit."""
        answer = self._deltas[last:]
        del self._deltas[last:]
        if len(answer) + len(_DELTA_HEAD) - LENGTH_BYTES > MAX_FRAME:
            raise FrameTooLarge(f"an answer of {len(answer)} bytes is over the limit of {MAX_FRAME}")
        if self._count:
            self._write(self._take_deltas())
        self._deltas += answer

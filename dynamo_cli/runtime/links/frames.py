"""The wire: frames of `u32 length | msgpack array`, the array's first item telling the type.

Every connection begins with hello and welcome of the server and proof of the client; a plane adds its own frames.
"""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_FRAME = 32 << 20
MAX_UNPROVED_FRAME = 1024
LENGTH_BYTES = 4

Purpose = Literal["requests", "heartbeat", "events", "transfer"]


class FrameTooLarge(Exception):
    pass


class Frame(msgspec.Struct, array_like=True, gc=False):
    pass


class Hello(Frame, tag=0):
    nonce: bytes


class Proof(Frame, tag=1):
    nonce: bytes
    mac: bytes
    purpose: Purpose = "requests"


class Welcome(Frame, tag=2):
    mac: bytes


class Error(Frame, tag=6):
    """`param` is the field an invalid_request_error names. Stream 0 is the connection itself."""

    stream: int
    code: str
    message: str
    param: str | None = None


encode_into = msgspec.msgpack.Encoder().encode_into


def append_frame(buffer: bytearray, frame: Frame) -> None:
    """Leaves the buffer as it was when the frame cannot be encoded (TypeError) or is too large (FrameTooLarge)."""
    start = len(buffer)
    buffer += b"\0\0\0\0"
    try:
        encode_into(frame, buffer, -1)
        length = len(buffer) - start - LENGTH_BYTES
        if length > MAX_FRAME:
            raise FrameTooLarge(f"a frame of {length} bytes is over the limit of {MAX_FRAME}")
    except BaseException:
        del buffer[start:]
        raise
    buffer[start : start + LENGTH_BYTES] = length.to_bytes(LENGTH_BYTES, "big")


def encode_frame(frame: Frame) -> bytearray:
    buffer = bytearray()
    append_frame(buffer, frame)
    return buffer


class FrameReader:
    """Cuts a byte stream into frames, whatever the chunks it comes in."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self.limit = limit
        self._rest = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> list[memoryview]:
        """The frames that are complete now, without their lengths; FrameTooLarge as soon as a length says so."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data, self._rest = bytes(self._rest), bytearray()
        view = memoryview(data)
        frames = []
        start, end = 0, len(data)
        self._needed = LENGTH_BYTES
        while end - start >= LENGTH_BYTES:
            length = int.from_bytes(view[start : start + LENGTH_BYTES], "big")
            if length > self.limit:
                raise FrameTooLarge(f"a frame of {length} bytes is over the limit of {self.limit}")
            if end - start - LENGTH_BYTES < length:
                self._needed = LENGTH_BYTES + length
                break
            start += LENGTH_BYTES
            frames.append(view[start : start + length])
            start += length
        if start < end:
            self._rest += view[start:]
        return frames

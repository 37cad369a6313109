"""The wire: frames of `u32 length | msgpack array`, the array's first item telling the type.

server -> client   hello, welcome, delta, end, error, pong, drain
client -> server   proof, request, cancel, window, ping
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Raw

from dynamo_cli.runtime.trail import Trail

MAX_FRAME = 32 << 20
MAX_UNPROVED_FRAME = 1024
DELTA_TAG = 4
LENGTH_BYTES = 4

Purpose = Literal["requests", "heartbeat"]


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


class Request(Frame, tag=3):
    stream: int
    endpoint: str
    request_id: str
    payload: Raw
    trail: Trail | None = None


class Deltas(Frame, tag=DELTA_TAG):
    """All answers of one pass of the server's loop: (stream, answer)."""

    items: list[tuple[int, Raw]]


class End(Frame, tag=5):
    stream: int


class Error(Frame, tag=6):
    """`param` is the field an invalid_request_error names. Stream 0 is the connection itself."""

    stream: int
    code: str
    message: str
    param: str | None = None


class Cancel(Frame, tag=7):
    stream: int


class Window(Frame, tag=8):
    """The reader has taken answers of this cost (see flow.py)."""

    stream: int
    credit: int


class Ping(Frame, tag=9):
    number: int


class Pong(Frame, tag=10):
    """`load`: how loaded the worker is, in its own encoding; empty when it does not say."""

    number: int
    load: bytes = b""


class Drain(Frame, tag=11):
    """Send no more requests for this endpoint; "" means all."""

    endpoint: str = ""


AnyFrame = Hello | Proof | Welcome | Request | Deltas | End | Error | Cancel | Window | Ping | Pong | Drain

_decoder: msgspec.msgpack.Decoder[AnyFrame] = msgspec.msgpack.Decoder(AnyFrame)
_encoder = msgspec.msgpack.Encoder()
decode_frame = _decoder.decode
encode_into = _encoder.encode_into


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


def payload_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)

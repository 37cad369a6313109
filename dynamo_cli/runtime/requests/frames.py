"""The frames of the request plane, beside those every connection begins with (links/frames.py).

server -> client   delta, end, error, pong, drain
client -> server   request, cancel, window, ping
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from dynamo_cli.runtime.links.frames import Error, Frame, Hello, Proof, Welcome
from dynamo_cli.runtime.trail import Trail

DELTA_TAG = 4


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

frame_decoder: msgspec.msgpack.Decoder[AnyFrame] = msgspec.msgpack.Decoder(AnyFrame)
decode_frame = frame_decoder.decode


def payload_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)

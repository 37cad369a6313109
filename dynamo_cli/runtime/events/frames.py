"""The frames of the event plane, beside those every connection begins with (links/frames.py).

subscriber -> publisher   follow
publisher -> subscriber   snapshot, events, tip, error
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Raw

from dynamo_cli.runtime.links.frames import MAX_FRAME, Error, Frame, Hello, Proof, Welcome

FRAME_BYTES = 256 << 10
"""Messages share a frame until it has this size."""
LARGEST_MESSAGE = MAX_FRAME // 2


class Follow(Frame, tag=20):
    """Tell me what comes after this; epoch 0: I know nothing."""

    path: str
    epoch: int = 0
    sequence: int = 0


class Snapshot(Frame, tag=21):
    """A part of the state as it was after message `sequence`; part 0 voids all that was said before."""

    epoch: int
    sequence: int
    part: int
    parts: int
    items: list[Raw]


class Events(Frame, tag=22):
    """Messages `first`, `first` + 1, ..."""

    epoch: int
    first: int
    items: list[Raw]


class Tip(Frame, tag=23):
    """All up to here has been sent. Said in regular intervals, so that loss and silence are noticed."""

    epoch: int
    sequence: int


AnyFrame = Hello | Proof | Welcome | Error | Follow | Snapshot | Events | Tip
frame_decoder: msgspec.msgpack.Decoder[AnyFrame] = msgspec.msgpack.Decoder(AnyFrame)
encode_message = msgspec.msgpack.Encoder().encode


def in_frames(messages: Iterable[bytes]) -> Iterator[list[Raw]]:
    """The messages, those together that share a frame; at least one list, even if it is empty."""
    batch: list[Raw] = []
    size = 0
    for message in messages:
        if batch and size + len(message) > FRAME_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(Raw(message))
        size += len(message)
    yield batch

"""The framing, whatever the chunks it comes in."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.runtime.links.frames import (
    MAX_FRAME,
    Error,
    FrameReader,
    FrameTooLarge,
    append_frame,
    encode_frame,
)
from dynamo_cli.runtime.requests.frames import Cancel, Deltas, End, Ping, decode_frame

frames = st.lists(
    st.one_of(
        st.builds(End, st.integers(0, 2**63)),
        st.builds(Cancel, st.integers(0, 2**63)),
        st.builds(Ping, st.integers(0, 2**63)),
        st.builds(Error, st.integers(0, 9), st.text(), st.text(), st.none() | st.text()),
    ),
    max_size=12,
)


@given(frames, st.lists(st.integers(1, 40), min_size=1))
def test_any_chunking_gives_the_same_frames(sent: list[End], sizes: list[int]) -> None:
    stream = b"".join(encode_frame(frame) for frame in sent)
    reader = FrameReader()
    seen, start, turn = [], 0, 0
    while start < len(stream):
        size = sizes[turn % len(sizes)]
        seen += [decode_frame(frame) for frame in reader.feed(stream[start : start + size])]
        start, turn = start + size, turn + 1
    assert seen == sent


@given(st.binary(max_size=300), st.integers(1, 50))
def test_garbage_is_refused_or_waits_for_more(garbage: bytes, size: int) -> None:
    reader = FrameReader(limit=1024)
    try:
        for start in range(0, len(garbage), size):
            for frame in reader.feed(garbage[start : start + size]):
                decode_frame(frame)
    except (FrameTooLarge, msgspec.DecodeError):
        pass


def test_a_length_over_the_limit_is_refused_before_its_bytes_come() -> None:
    with pytest.raises(FrameTooLarge):
        FrameReader(limit=1024).feed((1025).to_bytes(4, "big"))


def test_a_frame_that_cannot_be_sent_leaves_the_buffer_alone() -> None:
    buffer = encode_frame(End(1))
    before = bytes(buffer)
    with pytest.raises(TypeError):
        append_frame(buffer, Deltas([(1, object())]))  # type: ignore[list-item]
    with pytest.raises(FrameTooLarge):
        append_frame(buffer, Deltas([(1, bytes(MAX_FRAME))]))  # type: ignore[list-item]
    assert buffer == before

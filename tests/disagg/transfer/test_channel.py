"""A connection of a transfer, seen byte by byte."""

from __future__ import annotations

import asyncio
import socket
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_cli.disagg.transfer.channel import LARGEST_FRAME, PIECE, TAKEN, Channel, Region
from dynamo_cli.errors import TransferFailed, Unauthorized
from dynamo_cli.runtime.links.frames import Error, Frame, encode_frame
from tests.disagg.transfer.patterns import pattern

FRAME = Region(b"who", b"where")


def connected(stall_s: float = 5.0) -> tuple[Channel, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return Channel(ours, stall_s), theirs


async def say(connection: socket.socket, data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        await asyncio.get_running_loop().sock_sendall(connection, data[start:end])
        await asyncio.sleep(0)


@settings(max_examples=60)
@given(st.integers(0, 3000), st.lists(st.integers(0, 5000), max_size=30))
def test_any_chunks_give_the_same_frame_and_bytes(size: int, cuts: list[int]) -> None:
    async def both() -> tuple[Frame, bytes]:
        channel, theirs = connected()
        async with channel:
            with theirs:
                saying = asyncio.create_task(say(theirs, bytes(encode_frame(FRAME)) + pattern(size), cuts))
                got = bytearray(size)
                frame = await channel.receive_frame()
                await channel.receive_into(memoryview(got))
                await saying
                return frame, bytes(got)

    assert asyncio.run(both()) == (FRAME, pattern(size))


@settings(max_examples=20)
@given(st.integers(0, 3 * PIECE), st.integers(1, PIECE))
def test_any_pace_of_the_reader_gives_the_same_bytes(size: int, at_a_time: int) -> None:
    async def both() -> bytes:
        channel, theirs = connected()
        async with channel:
            with theirs:
                sending = asyncio.create_task(channel.send(memoryview(pattern(size))))
                got = b""
                while len(got) < size:
                    got += await asyncio.get_running_loop().sock_recv(theirs, at_a_time + 4096)
                await sending
                return got

    assert asyncio.run(both()) == pattern(size)


async def test_a_reader_that_does_not_read_holds_the_sender_and_fails_it_in_the_end() -> None:
    channel, theirs = connected(stall_s=0.1)
    async with channel:
        with theirs:
            began = time.monotonic()
            with pytest.raises(TransferFailed, match=r"moved for 0\.1 s"):
                await channel.send(memoryview(bytes(8 * PIECE)))
            assert 0.05 < time.monotonic() - began < 5


async def test_a_peer_that_says_nothing_fails_in_the_end() -> None:
    channel, theirs = connected(stall_s=0.1)
    async with channel:
        with theirs, pytest.raises(TransferFailed, match=r"moved for 0\.1 s"):
            await channel.receive_frame()


async def test_bytes_that_go_another_way_have_their_time() -> None:
    channel, theirs = connected(stall_s=0.05)
    channel.wait_longer(30)
    async with channel:
        with theirs:
            word = asyncio.create_task(channel.last_word())
            await asyncio.sleep(0.15)
            assert not word.done()
            theirs.send(TAKEN)
            assert await word == TAKEN


async def test_what_is_no_frame_is_refused() -> None:
    for data in (b"GET / HTTP/1.1\r\n\r\n", (3).to_bytes(4, "big") + b"abc", (LARGEST_FRAME + 1).to_bytes(4, "big")):
        channel, theirs = connected()
        async with channel:
            with theirs:
                theirs.send(data)
                with pytest.raises(TransferFailed, match="language of transfers"):
                    await channel.receive_frame()


async def test_what_the_peer_reports_is_told() -> None:
    channel, theirs = connected()
    async with channel:
        with theirs:
            theirs.send(encode_frame(Error(0, Unauthorized.code, "not for you")))
            with pytest.raises(TransferFailed, match="not for you"):
                await channel.receive_frame()


async def test_a_peer_that_goes_away_is_noticed_at_once() -> None:
    channel, theirs = connected()
    async with channel:
        theirs.close()
        with pytest.raises(TransferFailed):
            await channel.receive_into(memoryview(bytearray(1)))
        assert await channel.last_word() == b""
        channel.say(TAKEN)

"""One connection between who offers and who fetches: frames to agree, then bytes in bulk, without copies of them."""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType
from typing import Any

import msgspec

from dynamo_cli.errors import TransferFailed
from dynamo_cli.runtime.links.frames import LENGTH_BYTES, Error, Frame, Hello, Proof, Welcome, encode_frame

PIECE = 1 << 20
"""Bytes given to the socket at a time."""
LARGEST_FRAME = 64 << 10
TAKEN, GIVEN_UP = b"\1", b"\0"
"""The fetching side's last word: it has everything, or wants it no more. It says nothing when it dies."""


class Claim(Frame, tag=20):
    offer: str
    proof: Proof


class Region(Frame, tag=21):
    """Where and how a NIXL agent finds the bytes; nothing when there are none."""

    metadata: bytes = b""
    descriptors: bytes = b""


AnyFrame = Hello | Claim | Welcome | Region | Error
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(AnyFrame)


class Channel:
    """A connected, non-blocking socket. What waits on it fails with TransferFailed when nothing moves for `stall_s`."""

    def __init__(self, connection: socket.socket, stall_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = connection
        self._stall_s = stall_s
        self._patient_until = self._loop.time() + stall_s
        self._stalled = False
        self._watch = self._loop.call_later(stall_s, self._look)
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent; nothing may wait on it any more."""
        self._watch.cancel()
        self._socket.close()

    def wait_longer(self, seconds: float) -> None:
        """Nothing has to move here for so long: the bytes go another way."""
        self._patient_until = self._loop.time() + max(seconds, self._stall_s)

    async def send_frame(self, frame: Frame) -> None:
        await self.send(memoryview(encode_frame(frame)))

    async def send(self, data: memoryview) -> None:
        try:
            for start in range(0, data.nbytes, PIECE):
                await self._loop.sock_sendall(self._socket, data[start : start + PIECE])
                self._moved()
        except OSError as error:
            raise self._broken(error) from None

    async def receive_frame(self) -> Any:
        """The next frame; raises the peer's own error, and TransferFailed for what is no frame."""
        length = bytearray(LENGTH_BYTES)
        await self.receive_into(memoryview(length))
        size = int.from_bytes(length, "big")
        if size > LARGEST_FRAME:
            raise TransferFailed("the peer does not speak the language of transfers")
        body = bytearray(size)
        await self.receive_into(memoryview(body))
        try:
            frame = _decoder.decode(body)
        except msgspec.DecodeError:
            raise TransferFailed("the peer does not speak the language of transfers") from None
        if isinstance(frame, Error):
            raise TransferFailed(frame.message)
        return frame

    async def receive_into(self, view: memoryview) -> None:
        """Fill all of it."""
        filled = 0
        try:
            while filled < view.nbytes:
                count = await self._loop.sock_recv_into(self._socket, view[filled:])
                if not count:
                    raise ConnectionError("the connection was closed before the end")
                filled += count
                self._moved()
        except OSError as error:
            raise self._broken(error) from None

    async def last_word(self) -> bytes:
        """TAKEN, GIVEN_UP, or nothing when the fetching side is gone."""
        try:
            return await self._loop.sock_recv(self._socket, 1)
        except OSError:
            return b""

    def say(self, word: bytes) -> None:
        """Tell the last word without waiting: it is one byte."""
        try:
            self._socket.send(word)
        except OSError:
            pass  # whoever offers is gone, and the offer with it

    def _moved(self) -> None:
        self._patient_until = self._loop.time() + self._stall_s

    def _look(self) -> None:
        left = self._patient_until - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look)
            return
        self._stalled = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes whoever waits
        except OSError:
            pass

    def _broken(self, error: OSError) -> TransferFailed:
        if self._stalled:
            return TransferFailed(f"nothing has moved for {self._stall_s:g} s")
        return TransferFailed(f"{error.strerror or error}")

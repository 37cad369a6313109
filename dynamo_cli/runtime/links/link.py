"""One TCP connection between two processes of a deployment, seen from either end."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

import msgspec

from dynamo_cli.errors import CannotConnect
from dynamo_cli.runtime.links.frames import MAX_UNPROVED_FRAME, Frame, FrameReader, FrameTooLarge, encode_frame

_WRITE_BUFFER = 256 << 10


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of tcp://HOST:PORT; CannotConnect when it is none."""
    try:
        parts = urlsplit(address)
        if parts.scheme == "tcp" and parts.hostname and parts.port:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise CannotConnect(f"{address!r} is not an address of the form tcp://HOST:PORT")


class Link(asyncio.Protocol, ABC):
    """Frames in by `on_frame`, frames out by `send` or `write`. `paused`: the peer reads more slowly than we write.

    `plane` names the language that both ends speak, `decoder` understands it.
    """

    plane: ClassVar[str]
    decoder: ClassVar[msgspec.msgpack.Decoder[Any]]

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.reader = FrameReader(MAX_UNPROVED_FRAME)
        self.transport: asyncio.Transport | None = None
        self.paused = False
        self.closed = False
        self._gone = asyncio.Event()

    @abstractmethod
    def on_frame(self, frame: Any) -> None: ...

    @abstractmethod
    def on_closed(self, reason: str) -> None:
        """Called once. `reason` is empty when the peer closed the connection in good order."""

    def on_writable(self) -> None:
        """Called when `paused` has become false."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.closed:  # before it came about
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        decode = self.decoder.decode
        try:
            for frame in self.reader.feed(data):
                if self.closed:
                    return
                self.on_frame(decode(frame))
        except (FrameTooLarge, msgspec.DecodeError) as error:
            self.close(f"the peer does not speak the {self.plane}'s language: {error}")

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.on_writable()

    def connection_lost(self, error: Exception | None) -> None:
        self._gone.set()
        self._end(str(error) if error else "")

    async def gone(self) -> None:
        """Until the socket of a closed link is released."""
        if self.transport is not None:
            await self._gone.wait()

    def close(self, reason: str) -> None:
        """Cut the connection now, dropping what is not sent yet. Idempotent."""
        if self.transport is not None:
            self.transport.abort()
        self._end(reason)

    def _end(self, reason: str) -> None:
        if not self.closed:
            self.closed = True
            self.on_closed(reason)

    def send(self, frame: Frame) -> None:
        """Write it now; several frames of one pass of the event loop are better gathered first."""
        self.write(encode_frame(frame))

    def write(self, data: bytes | bytearray) -> None:
        """Frames as they go over the wire."""
        if self.transport is not None and not self.closed:
            self.transport.write(data)

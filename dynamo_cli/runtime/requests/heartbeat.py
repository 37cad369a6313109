"""Pings answered by an OS thread: a worker whose event loop is busy is not dead."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable

import msgspec

from dynamo_cli.runtime.links.frames import FrameReader, FrameTooLarge, encode_frame
from dynamo_cli.runtime.requests.frames import Ping, Pong, decode_frame

_LARGEST_PING = 32


class HeartbeatThread:
    """Answers pings on the connections handed to it. Starts with the first one.

    `load` is called in this thread for each answer; what it returns goes along.
    """

    def __init__(self) -> None:
        self.load: Callable[[], bytes] = bytes
        self._adopted: list[socket.socket] = []
        self._wake, self._woken = socket.socketpair()
        self._thread: threading.Thread | None = None
        self._closing = False

    def adopt(self, connection: socket.socket) -> None:
        """Take over a connected, non-blocking socket."""
        self._adopted.append(connection)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="request-plane-heartbeat", daemon=True)
            self._thread.start()
        self._wake.send(b"\0")

    def close(self) -> None:
        """End the thread and its connections."""
        self._closing = True
        self._wake.send(b"\0")
        if self._thread is not None:
            self._thread.join()
        self._wake.close()
        self._woken.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._closing:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        self._woken.recv(4096)
                    elif not self._answer(key.fileobj, key.data):  # type: ignore[arg-type]
                        selector.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]
                while self._adopted:
                    selector.register(self._adopted.pop(), selectors.EVENT_READ, FrameReader(_LARGEST_PING))
            self._close_all(selector)

    def _close_all(self, selector: selectors.BaseSelector) -> None:
        for connection in self._adopted:
            connection.close()
        for key in selector.get_map().values():
            if key.fileobj is not self._woken:
                key.fileobj.close()  # type: ignore[union-attr]

    def _answer(self, connection: socket.socket, reader: FrameReader) -> bool:
        """Answer the pings that have come; False when the connection is over."""
        with contextlib.suppress(OSError, FrameTooLarge, msgspec.DecodeError):
            data = connection.recv(4096)
            for frame in reader.feed(data):
                ping = decode_frame(frame)
                if not isinstance(ping, Ping):
                    return False
                connection.sendall(encode_frame(Pong(ping.number, self.load())))
            return bool(data)
        return False

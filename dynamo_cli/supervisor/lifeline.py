"""What ties a supervisor to the `up` that started it and shows its deployment: both ends of one pair of sockets.

`up` asks through it for the end of the deployment. However `up` itself ends, the kernel closes its end, and that asks
too. The supervisor tells its last words on it, or lets go of it when the deployment is detached.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import msgspec

from dynamo_cli.runtime.control import DeploymentStatus

END, END_NOW = b"e", b"n"
TELLING_S = 5.0
"""How long last words may take when `up` does not read them."""


class LastWords(msgspec.Struct):
    """How the deployment ended. `failed`: by itself, since nothing could serve any more."""

    exit_code: int
    failed: bool
    status: DeploymentStatus


class Lifeline:
    """The end of `up`. `theirs` is to be passed to the supervisor, then `given`."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair()
        self._heard = bytearray()

    def given(self) -> None:
        """The supervisor has its end, or there is none."""
        self.theirs.close()

    def ask_for_the_end(self, now: bool = False) -> None:
        """In order, or `now`; returns at once. Nothing happens when the supervisor has ended or let go."""
        with contextlib.suppress(OSError):
            self._ours.send(END_NOW if now else END)

    def last_words(self) -> LastWords | None:
        """Waits until the supervisor has ended or let go. None when it was killed or let go: it said nothing."""
        with contextlib.suppress(OSError):
            while data := self._ours.recv(65536):
                self._heard += data
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(self._heard, type=LastWords)
        return None

    def close(self) -> None:
        self._ours.close()


class Tether:
    """The end of the supervisor."""

    def __init__(self, descriptor: int) -> None:
        self._socket: socket.socket | None = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)
        self._socket.setblocking(False)

    def watch(self, end: Callable[[], object], end_now: Callable[[], object]) -> None:
        """Call these when `up` asks for it; `end` when it is gone, too. Within a running loop."""
        assert self._socket
        asyncio.get_running_loop().add_reader(self._socket, self._heard, end, end_now)

    def let_go(self) -> None:
        """`up` may end now."""
        if self._socket:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def tell(self, words: LastWords) -> None:
        """Blocks until they are told, nobody is there to hear them, or the time is over."""
        if self._socket:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.settimeout(TELLING_S)
            with contextlib.suppress(OSError):
                self._socket.sendall(msgspec.json.encode(words))
            self._socket.close()

    def _heard(self, end: Callable[[], object], end_now: Callable[[], object]) -> None:
        assert self._socket
        try:
            asked = self._socket.recv(64)
        except BlockingIOError:
            return
        except OSError:
            asked = b""
        if not asked:
            asyncio.get_running_loop().remove_reader(self._socket)
        (end_now if END_NOW in asked else end)()

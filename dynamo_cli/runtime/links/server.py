"""The end of a connection that was called: asks for proof of the token before it listens to anything."""

from __future__ import annotations

import asyncio
import logging
import socket
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from dynamo_cli.errors import ResourceMissing, Unauthorized
from dynamo_cli.runtime.links.auth import HANDSHAKE_S, new_hello, welcome
from dynamo_cli.runtime.links.frames import MAX_FRAME, Error, Proof, Purpose, Welcome
from dynamo_cli.runtime.links.link import Link

_log = logging.getLogger(__name__)
_MAX_UNPROVED = 64
_BACKLOG = 1024
_FINISH_S = 1.0


class Listener:
    """A listening TCP port and all connections that came to it; `make` makes the link of each.

    `address`: tcp://HOST:PORT as others reach it, once it is open.
    """

    def __init__(self, token: bytes, host: str, make: Callable[[], AcceptedLink]) -> None:
        self.token = token
        self.unproved: set[AcceptedLink] = set()
        self.links: set[AcceptedLink] = set()
        self.address = ""
        self._host = host
        self._make = make
        self._server: asyncio.Server | None = None

    async def open(self, port: int = 0) -> None:
        """ResourceMissing when the address cannot be bound, or others could not be told of it."""
        loop, host = asyncio.get_running_loop(), reachable(self._host)
        try:
            self._server = await loop.create_server(self._make, self._host, port, backlog=_BACKLOG)
        except OSError as error:
            raise ResourceMissing(f"cannot listen on {self._host}:{port}: {error.strerror or error}") from None
        port = self._server.sockets[0].getsockname()[1]
        self.address = f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"

    @property
    def is_open(self) -> bool:
        return self._server is not None and self._server.is_serving()

    def stop(self) -> bool:
        """Take no new connection; False when that was so already."""
        if self._server is None or not self.is_open:
            return False
        self._server.close()
        return True

    async def close(self) -> None:
        """End every connection after what is written has left. Idempotent."""
        self.stop()
        for link in list(self.links):
            link.finish()
        for link in list(self.links):
            await link.gone()
        server, self._server = self._server, None
        if server is not None:
            await server.wait_closed()


class AcceptedLink(Link):
    """Proof first, for one of `purposes`; what is said after it goes to `on_said`."""

    purposes: ClassVar[tuple[Purpose, ...]]

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener
        self._hello = new_hello()
        self._deadline = self._loop.call_later(HANDSHAKE_S, self.close, "no proof of the token in time")

    @abstractmethod
    def on_proved(self, proof: Proof, answer: Welcome) -> None:
        """The peer has proved the token; `answer` proves it to the peer."""

    @abstractmethod
    def on_said(self, frame: Any) -> None: ...

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._listener.links.add(self)
        if not self._listener.is_open:  # it was accepted just before
            self.close("the listener is closed")
            return
        if len(self._listener.unproved) >= _MAX_UNPROVED:
            self.close("too many connections without proof")
            return
        self._listener.unproved.add(self)
        self.send(self._hello)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._listener.links.discard(self)

    def on_frame(self, frame: Any) -> None:
        if self in self._listener.unproved:
            self._on_proof(frame)
        else:
            self.on_said(frame)

    def on_closed(self, reason: str) -> None:
        self._deadline.cancel()
        self._listener.unproved.discard(self)
        if reason:
            _log.debug("connection closed: %s", reason)

    def finish(self) -> None:
        """Close after what is already written has left; a peer that does not take it is cut off."""
        if self.transport is not None:
            self.transport.close()
            self._deadline.cancel()
            self._deadline = self._loop.call_later(_FINISH_S, self.close, "the peer does not read")

    def _on_proof(self, frame: Any) -> None:
        proof = frame if isinstance(frame, Proof) and frame.purpose in self.purposes else None
        answer = welcome(self._listener.token, self._hello, proof) if proof else None
        if proof is None or answer is None:
            self._refuse()
            return
        self._deadline.cancel()
        self._listener.unproved.discard(self)
        self.reader.limit = MAX_FRAME
        self.on_proved(proof, answer)

    def _refuse(self) -> None:
        _log.warning("refused a connection without proof of the deployment's token")
        self.send(Error(0, Unauthorized.code, "the deployment's token was not accepted"))
        self.closed = True
        self._listener.unproved.discard(self)
        self._deadline.cancel()
        if self.transport is not None:
            self.transport.close()


def reachable(host: str) -> str:
    """The address peers can use: a wildcard stands for that of this host's name. ResourceMissing when it has none."""
    if host not in ("0.0.0.0", "::", ""):
        return host
    name = socket.gethostname()
    try:
        return socket.gethostbyname(name)
    except OSError as error:
        what = f"listening on {host}, others are told the address of this host's name, {name}, which has none"
        raise ResourceMissing(f"{what} ({error.strerror or error}): set DYN_TCP_RPC_HOST to an address") from None

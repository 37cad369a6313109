"""The end of a connection that began it: proves the token first."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, TypeVar

from dynamo_cli.errors import CannotConnect, DynamoError, Unauthorized, from_code
from dynamo_cli.runtime.links.auth import HANDSHAKE_S, is_genuine, prove
from dynamo_cli.runtime.links.frames import MAX_FRAME, Error, Hello, Proof, Purpose, Welcome
from dynamo_cli.runtime.links.link import Link, host_and_port
from dynamo_cli.runtime.within import within

CONNECT_S = 3.0


class ClientLink(Link):
    """Proves the token, checks the server's own proof; `welcomed` tells how that went."""

    purpose: ClassVar[Purpose]

    def __init__(self, address: str, token: bytes) -> None:
        super().__init__()
        self.address = address
        self.welcomed: asyncio.Future[None] = self._loop.create_future()
        self._token = token
        self._hello: Hello | None = None
        self._proof: Proof | None = None

    def on_frame(self, frame: Any) -> None:
        if self.welcomed.done():
            self.on_answer(frame)
        elif isinstance(frame, Hello) and self._hello is None:
            self._hello = frame
            self._proof = prove(self._token, frame, self.purpose)
            self.send(self._proof)
        elif isinstance(frame, Welcome) and self._hello and self._proof:
            if is_genuine(self._token, self._hello, self._proof, frame):
                self.reader.limit = MAX_FRAME
                self.welcomed.set_result(None)
                self.on_welcome()
            else:
                self._reject(Unauthorized(f"the server at {self.address} does not know the deployment's token"))
        elif isinstance(frame, Error):
            self._reject(from_code(frame.code, f"{self.address}: {frame.message}"))
        else:
            self._reject(Unauthorized(f"{self.address} is no {self.plane} of this deployment"))

    def on_welcome(self) -> None:
        """Called once the server has proved itself."""

    def on_answer(self, frame: Any) -> None:
        """Called with every frame after the welcome."""

    def on_closed(self, reason: str) -> None:
        if not self.welcomed.done():
            self.welcomed.set_exception(CannotConnect(f"{self.address} closed the connection: {reason or 'no reason'}"))
            self.welcomed.exception()

    def _reject(self, error: DynamoError) -> None:
        self.welcomed.set_exception(error)
        self.welcomed.exception()
        self.close(str(error))


L = TypeVar("L", bound=ClientLink)


async def connect(link: L) -> L:
    """CannotConnect after 3 s without a connection or 5 s without a welcome; Unauthorized when it is refused."""
    host, port = host_and_port(link.address)
    loop = asyncio.get_running_loop()
    try:
        await within(CONNECT_S, loop.create_connection(lambda: link, host, port))
        await within(HANDSHAKE_S, asyncio.shield(link.welcomed))
    except asyncio.TimeoutError:
        link.close("timeout")
        raise CannotConnect(f"{link.address} does not answer") from None
    except OSError as error:
        raise CannotConnect(f"cannot connect to {link.address}: {error.strerror or error}") from None
    except UnicodeError:
        raise CannotConnect(f"cannot connect to {link.address!r}: this cannot be the name of a host") from None
    except asyncio.CancelledError:
        link.close("cancelled")
        raise
    return link

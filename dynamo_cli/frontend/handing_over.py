"""POST /listener on the admin socket: a supervisor that takes over from a dead one gets the public listening socket."""

from __future__ import annotations

import socket
from pathlib import Path

from dynamo_cli.errors import NotReady, RouteMissing
from dynamo_cli.runtime.handover import give
from dynamo_cli.runtime.http.exchange import Exchange

LISTENER_PATH = "/listener"


class HandingOver:
    """`to`: where that supervisor waits."""

    def __init__(self, listener: socket.socket, to: Path) -> None:
        self._listener = listener
        self._to = to

    def post(self, exchange: Exchange) -> None:
        """Raises RouteMissing on the public port, NotReady when nobody waits, or as this frontend ends."""
        if not exchange.request.trusted:
            raise RouteMissing(f"there is no {LISTENER_PATH} here")
        try:
            give(self._to, self._listener)
        except OSError as error:
            raise NotReady(f"the listening socket cannot be handed over: {error}") from None
        exchange.send_json({})

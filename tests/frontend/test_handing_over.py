"""POST /listener: for who comes by the admin socket alone."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from dynamo_cli.errors import NotReady, RouteMissing
from dynamo_cli.frontend.handing_over import LISTENER_PATH, HandingOver
from dynamo_cli.runtime.handover import awaited
from dynamo_cli.runtime.http.request import Request


class Asked:
    """What the handler sees of an exchange."""

    def __init__(self, trusted: bool) -> None:
        self.request = Request("POST", LISTENER_PATH, {}, "1.1", trusted)
        self.answers: list[Any] = []

    def send_json(self, body: Any) -> None:
        self.answers.append(body)


def test_it_goes_to_who_waits(clean_environment: Path) -> None:
    path = clean_environment / "handover"
    with socket.create_server(("127.0.0.1", 0)) as listener, awaited(path) as waiting:
        asked = Asked(trusted=True)
        HandingOver(listener, path).post(asked)  # type: ignore[arg-type]
        given = waiting.received()
        assert asked.answers == [{}] and given
        with given:
            assert given.getsockname() == listener.getsockname()


def test_not_on_the_public_port_and_not_when_nobody_waits(clean_environment: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        handing = HandingOver(listener, clean_environment / "handover")
        with pytest.raises(RouteMissing, match="there is no /listener here"):
            handing.post(Asked(trusted=False))  # type: ignore[arg-type]
        with pytest.raises(NotReady, match="the listening socket cannot be handed over"):
            handing.post(Asked(trusted=True))  # type: ignore[arg-type]
    with pytest.raises(NotReady, match="the listening socket cannot be handed over"):
        handing.post(Asked(trusted=True))  # type: ignore[arg-type]

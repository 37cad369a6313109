"""A listening socket given from one process to another."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from dynamo_cli.runtime import handover
from dynamo_cli.runtime.handover import awaited, give


def test_what_is_given_accepts_on_the_same_port(clean_environment: Path) -> None:
    path = clean_environment / "handover"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with awaited(path) as waiting:
            assert path.stat().st_mode & 0o777 == 0o600
            give(path, listener)
            given = waiting.received()
    assert given and not path.exists()
    with given, socket.create_connection(address) as client:
        assert given.getsockname() == address and not given.get_inheritable()
        accepted, where = given.accept()
        accepted.close()
        assert where == client.getsockname()


def test_nobody_gives_and_nobody_waits(clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "WAIT_S", 0.05)
    path = clean_environment / "handover"
    with awaited(path) as waiting, pytest.raises(TimeoutError):
        waiting.received()
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(FileNotFoundError):
        give(path, listener)


def test_who_comes_with_nothing(clean_environment: Path) -> None:
    path = clean_environment / "handover"
    with awaited(path) as waiting:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        assert waiting.received() is None

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from dynamo_cli.errors import PortBusy, UsageError
from dynamo_cli.frontend.http.listener import bind, inherited


def test_a_busy_port_is_one_line_and_exit_code_4() -> None:
    with bind("127.0.0.1", 0) as first, pytest.raises(PortBusy) as caught:
        bind("127.0.0.1", first.getsockname()[1])
    assert "is in use" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


def test_an_unknown_host_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"no\.such\.host\.invalid"):
        bind("no.such.host.invalid", 0)


def test_only_a_listening_socket_can_be_inherited(tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as listener:
        same = inherited(os.dup(listener.fileno()))
        assert same.getsockname() == listener.getsockname()
        same.close()
    with socket.socket() as plain, pytest.raises(UsageError, match="does not listen"):
        inherited(plain.fileno())
    with (tmp_path / "file").open("w") as file, pytest.raises(UsageError, match="not a socket"):
        inherited(file.fileno())

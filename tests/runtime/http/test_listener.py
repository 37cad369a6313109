from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from dynamo_cli.errors import PortBusy, ResourceMissing, UsageError
from dynamo_cli.runtime.http.listener import bind, inherited, url


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


def test_the_kernel_chooses_port_0() -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url(listener) == f"http://127.0.0.1:{port}"
        assert url(listener, tls=True) == f"https://127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_busy_port_names_its_holder(host: str) -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortBusy, match=rf"^port {port} is in use by pid {os.getpid()} \(.*\)$"):
            bind(host, port)


def test_a_url_that_works_for_a_socket_on_all_addresses() -> None:
    with bind("0.0.0.0", 0) as listener:
        assert url(listener).startswith("http://127.0.0.1:")


def test_an_address_of_another_machine() -> None:
    with pytest.raises(ResourceMissing, match=r"^cannot listen on 192\.0\.2\.1:0: "):
        bind("192.0.2.1", 0)

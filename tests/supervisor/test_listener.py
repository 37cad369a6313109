from __future__ import annotations

import os
import socket

import pytest

from dynamo_cli.errors import PortBusy, ResourceMissing
from dynamo_cli.supervisor.listener import listen, url


def test_the_kernel_chooses_port_0() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url(listener) == f"http://127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_busy_port_names_its_holder(host: str) -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortBusy, match=rf"^port {port} is in use by pid {os.getpid()} \(.*\)$"):
            listen(host, port)


def test_a_url_that_works_for_a_socket_on_all_addresses() -> None:
    with listen("0.0.0.0", 0) as listener:
        assert url(listener).startswith("http://127.0.0.1:")


def test_an_address_of_another_machine() -> None:
    with pytest.raises(ResourceMissing, match=r"^cannot listen on 192\.0\.2\.1:0: "):
        listen("192.0.2.1", 0)

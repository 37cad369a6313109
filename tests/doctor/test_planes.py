from __future__ import annotations

import socket

import pytest

from dynamo_cli.doctor.planes import PLANES, Server, plane_check, read_servers, server_check
from tests.doctor.judged import judge

DISCOVERY, REQUESTS, EVENTS = PLANES


@pytest.mark.parametrize(
    ("plane", "environ", "status", "words"),
    [
        (DISCOVERY, {}, "ok", "file"),
        (DISCOVERY, {"DYN_STORE_KV": "mem"}, "ok", "mem (DYN_STORE_KV)"),
        (DISCOVERY, {"DYN_DISCOVERY_BACKEND": "etcd", "DYN_STORE_KV": "mem"}, "error", "DYN_DISCOVERY_BACKEND=etcd is"),
        (REQUESTS, {}, "ok", "tcp"),
        (REQUESTS, {"DYN_REQUEST_PLANE": "nats"}, "error", "-> export DYN_REQUEST_PLANE=tcp"),
        (EVENTS, {"DYN_EVENT_PLANE": "zmq"}, "error", "-> export DYN_EVENT_PLANE=tcp"),
    ],
)
def test_planes(
    plane: tuple[str, tuple[str, ...], tuple[str, ...]], environ: dict[str, str], status: str, words: str
) -> None:
    judge(plane_check(*plane, environ), status, words)


def test_servers() -> None:
    judge(server_check("etcd", "ETCD_ENDPOINTS", []), "skipped", "ETCD_ENDPOINTS is not set")
    judge(server_check("etcd", "ETCD_ENDPOINTS", [Server("a:1")]), "ok", "a:1 accepts", "does not use etcd yet")
    judge(
        server_check("nats", "NATS_SERVER", [Server("a:1"), Server("b:2", "refused")]), "warn", "b:2: refused", "nats"
    )


def test_addresses_in_every_spelling() -> None:
    assert read_servers("", 2379) == []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for spelling in (f"127.0.0.1:{port}", f"http://127.0.0.1:{port}", f"nats://user:secret@127.0.0.1:{port}"):
            assert read_servers(spelling, 1) == [Server(f"127.0.0.1:{port}")]
        assert read_servers("127.0.0.1", port) == [Server(f"127.0.0.1:{port}")]
    first, second, third = read_servers(f"127.0.0.1:{port}, http://x:99999,:5", 1)
    assert first.failure == "Connection refused"
    assert "not an address" in second.failure
    assert third == Server(":5", "not an address")

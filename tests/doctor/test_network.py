from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest

from dynamo_cli.doctor.network import (
    Port,
    connect_to_oneself,
    ephemeral_check,
    listening_user,
    localhost_check,
    loopback_check,
    port_check,
    proxies_check,
    read_port,
    read_range,
    resolve,
)
from tests.doctor.judged import judge

HOST = "127.0.0.1"
BUSY = "port 8000 is in use by pid 9 (nginx)"


@pytest.mark.parametrize(
    ("port", "wanted_by", "status", "words"),
    [
        (Port(HOST, 8000), None, "ok", "port 8000 on 127.0.0.1 is free"),
        (Port(HOST, 0), "agg", "ok", "a free one"),
        (
            Port(HOST, 8000, BUSY, True),
            None,
            "warn",
            "by pid 9 (nginx) -> end who has it, or start with --set frontend.port",
        ),
        (Port(HOST, 8000, BUSY, True), "agg", "error", "by pid 9 (nginx)"),
        (
            Port(HOST, 8000, "port 8000 is in use", True, owner="user root"),
            None,
            "warn",
            "in use by a process of user root",
        ),
        (
            Port(HOST, 80, "port 80 needs more rights"),
            "agg",
            "error",
            "needs more rights -> choose another host or port",
        ),
        (Port(HOST, 8000, BUSY, True, "agg"), None, "ok", "that of the running deployment agg"),
        (Port(HOST, 8000, BUSY, True, "agg"), "agg", "ok", "that of the running deployment agg"),
        (Port(HOST, 8000, BUSY, True, "agg"), "other", "error", "-> dynamo down agg"),
    ],
)
def test_ports(port: Port, wanted_by: str | None, status: str, words: str) -> None:
    judge(port_check(port, wanted_by), status, words)


def test_a_port_that_is_really_busy() -> None:
    with socket.create_server((HOST, 0)) as server:
        number = server.getsockname()[1]
        found = read_port(HOST, number)
        assert found.busy and f"pid {os.getpid()}" in found.refusal
        assert listening_user(number) == f"user {pwd.getpwuid(os.getuid()).pw_name}"
    assert read_port(HOST, number) == Port(HOST, number)
    assert listening_user(number) == ""
    elsewhere = read_port("203.0.113.1", number)
    assert "203.0.113.1" in elsewhere.refusal and not elsewhere.busy


def test_ephemeral_ports(tmp_path: Path) -> None:
    judge(ephemeral_check((32768, 60999), 8000), "ok", "32768 to 60999")
    judge(ephemeral_check((50000, 50100), 8000), "warn", "too few")
    judge(ephemeral_check((1024, 60999), 8000), "warn", "any connection may be given port 8000")
    judge(ephemeral_check(None, 8000), "skipped")
    assert read_range(tmp_path) is None
    file = tmp_path / "proc/sys/net/ipv4/ip_local_port_range"
    file.parent.mkdir(parents=True)
    file.write_text("1024\t2048\n")
    assert read_range(tmp_path) == (1024, 2048)


def test_loopback() -> None:
    assert connect_to_oneself() == ""
    judge(loopback_check(""), "ok")
    judge(loopback_check("Network is unreachable"), "error", "Network is unreachable -> sudo ip link set lo up")
    judge(localhost_check(["::1", "127.0.0.1"]), "ok", "::1, 127.0.0.1")
    judge(localhost_check(["10.0.0.1"]), "warn", "means 10.0.0.1, not this machine")
    judge(localhost_check([]), "warn", "/etc/hosts")
    assert resolve("127.0.0.1") == ["127.0.0.1"]
    assert resolve("no such name") == []


@pytest.mark.parametrize(
    ("environ", "status", "words"),
    [
        ({}, "ok", "none"),
        ({"https_proxy": "http://proxy:1"}, "ok", "none"),
        ({"http_proxy": "http://proxy:1"}, "warn", "also for localhost and 127.0.0.1"),
        ({"ALL_PROXY": "http://proxy:1"}, "warn", "ALL_PROXY=http://proxy:1 also for"),
        ({"http_proxy": "http://proxy:1", "no_proxy": "localhost"}, "warn", "also for 127.0.0.1:"),
        ({"http_proxy": "http://proxy:1", "NO_PROXY": "localhost, 127.0.0.1"}, "ok", "but not for this machine"),
        ({"http_proxy": "http://proxy:1", "no_proxy": "*"}, "ok", "but not for this machine"),
    ],
)
def test_proxies(environ: dict[str, str], status: str, words: str) -> None:
    judge(proxies_check(environ), status, words)

"""How the processes of a deployment find and ask each other, and whether etcd and NATS are there for who asks."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

from dynamo_cli.doctor.check import Check, Question, error, ok, skipped, warn
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.runtime.config import (
    DISCOVERY_KINDS,
    DISCOVERY_VARIABLES,
    EVENT_PLANE_VARIABLE,
    EVENT_PLANES,
    REQUEST_PLANE_VARIABLE,
    REQUEST_PLANES,
)

CONNECT_S = 2.0

PLANES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("discovery", DISCOVERY_VARIABLES, DISCOVERY_KINDS),
    ("request-plane", (REQUEST_PLANE_VARIABLE,), REQUEST_PLANES),
    ("event-plane", (EVENT_PLANE_VARIABLE,), EVENT_PLANES),
)
SERVERS = (("etcd", "ETCD_ENDPOINTS", 2379), ("nats", "NATS_SERVER", 4222))
"""(name, the variable that asks for it, its usual port)"""


class Server(NamedTuple):
    """`failure`: why no TCP connection comes about, "" when one does."""

    address: str
    failure: str = ""


def questions(machine: Machine) -> Iterator[Question]:
    environ = machine.environ
    for name, variables, known in PLANES:
        yield Question(name, partial(plane_check, name, variables, known, environ))
    for name, variable, port in SERVERS:
        yield Question(name, partial(_server_check, name, variable, port, environ))


def plane_check(name: str, variables: tuple[str, ...], known: tuple[str, ...], environ: Mapping[str, str]) -> Check:
    """The first known kind is the default."""
    said = next((variable for variable in variables if environ.get(variable)), "")
    value = environ[said] if said else known[0]
    if value in known:
        return ok(name, f"{value}{f' ({said})' if said else ''}")
    return error(name, f"{said}={value} is not available in this release", f"export {said}={known[0]}")


def server_check(name: str, variable: str, servers: list[Server]) -> Check:
    if not servers:
        return skipped(name, f"not asked for ({variable} is not set)")
    lost = [each for each in servers if each.failure]
    if lost:
        words = "; ".join(f"{each.address}: {each.failure}" for each in lost)
        return warn(name, f"{variable}: {words}; this release does not use {name} anyway", f"unset {variable}")
    return ok(
        name,
        f"{', '.join(each.address for each in servers)} accepts connections, but this release does not use {name} yet",
    )


def _server_check(name: str, variable: str, port: int, environ: Mapping[str, str]) -> Check:
    return server_check(name, variable, read_servers(environ.get(variable, ""), port))


def read_servers(addresses: str, default_port: int) -> list[Server]:
    """Each of a list with commas is asked for a TCP connection."""
    given = filter(None, map(str.strip, addresses.split(",")))
    return [_server(word, default_port) for word in given]


def _server(word: str, default_port: int) -> Server:
    try:
        url = urlsplit(word if "://" in word else f"//{word}")
        host, port = url.hostname, url.port or default_port
    except ValueError as wrong:
        return Server(word, f"not an address ({wrong})")
    if not host:
        return Server(word, "not an address")
    address = f"{f'[{host}]' if ':' in host else host}:{port}"
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as failure:
        return Server(address, failure.strerror or str(failure) or "no answer")
    return Server(address)

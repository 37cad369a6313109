"""The public port, the loopback interface, and proxies that get in its way."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.doctor.check import Check, Question, error, ok, skipped, warn
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.doctor.places import user_name
from dynamo_cli.errors import DynamoError, PortBusy
from dynamo_cli.runtime.http import listener
from dynamo_cli.supervisor.deployments import running
from dynamo_cli.topology.parts import Frontend

FEW_PORTS = 1000
"""Each connection between processes takes an ephemeral port on one side."""
CONNECT_S = 2.0
ANOTHER = "or start with --set frontend.port=0, which takes a free port"
LISTENING = "0A"
"""The state in /proc/net/tcp."""


class Port(NamedTuple):
    """`refusal`: why it cannot be bound; `busy` when somebody has it: our `deployment`, or a process of `owner`."""

    host: str
    port: int
    refusal: str = ""
    busy: bool = False
    deployment: str = ""
    owner: str = ""


def questions(machine: Machine) -> Iterator[Question]:
    yield Question("port", lambda: _port_check(machine))
    yield Question("ephemeral-ports", lambda: ephemeral_check(read_range(), _frontend(machine).port))
    yield Question("loopback", lambda: loopback_check(connect_to_oneself()))
    yield Question("localhost", lambda: localhost_check(resolve("localhost")))
    yield Question("proxies", lambda: proxies_check(machine.environ))


def _frontend(machine: Machine) -> Frontend:
    return machine.sound_topology.frontend if machine.sound_topology else Frontend()


def _port_check(machine: Machine) -> Check:
    asked, topology = _frontend(machine), machine.sound_topology
    return port_check(read_port(asked.host, asked.port), topology.name if topology else None)


def port_check(port: Port, wanted_by: str | None) -> Check:
    """`wanted_by`: the deployment that is asked about, None when no topology is."""
    where = f"port {port.port} on {port.host}"
    if not port.port:
        return ok("port", f"a free one on {port.host}")
    if not port.refusal:
        return ok("port", f"{where} is free")
    if port.deployment and wanted_by in (None, port.deployment):
        return ok("port", f"{where} is that of the running deployment {port.deployment}")
    words, fix = port.refusal, "choose another host or port in [frontend]"
    if port.deployment:
        words, fix = f"{where} is in use by deployment {port.deployment}", f"dynamo down {port.deployment}, {ANOTHER}"
    elif port.busy:
        words, fix = f"{words}{f' by a process of {port.owner}' if port.owner else ''}", f"end who has it, {ANOTHER}"
    return (warn if wanted_by is None else error)("port", words, fix)


def ephemeral_check(ports: tuple[int, int] | None, public: int) -> Check:
    name = "ephemeral-ports"
    if ports is None:
        return skipped(name, "this system does not tell them")
    first, last = ports
    words = f"{first} to {last}"
    if last - first + 1 < FEW_PORTS:
        return warn(name, f"{words}: too few", 'sudo sysctl -w net.ipv4.ip_local_port_range="32768 60999"')
    if first <= public <= last:
        fix = f"choose a port below {first}, or sudo sysctl -w net.ipv4.ip_local_reserved_ports={public}"
        return warn(name, f"{words}: any connection may be given port {public}", fix)
    return ok(name, words)


def loopback_check(failure: str) -> Check:
    if failure:
        return error("loopback", f"127.0.0.1 cannot be reached: {failure}", "sudo ip link set lo up")
    return ok("loopback", "127.0.0.1 answers")


def localhost_check(addresses: Sequence[str]) -> Check:
    fix = "add to /etc/hosts: 127.0.0.1 localhost"
    if not addresses:
        return warn("localhost", "this name has no address", fix)
    words = ", ".join(addresses)
    if not any(address == "::1" or address.startswith("127.") for address in addresses):
        return warn("localhost", f"this name means {words}, not this machine", fix)
    return ok("localhost", words)


def proxies_check(environ: Mapping[str, str]) -> Check:
    names = [name for scheme in ("http_proxy", "all_proxy") for name in (scheme, scheme.upper()) if environ.get(name)]
    if not names:
        return ok("proxies", "none")
    words = ", ".join(f"{name}={environ[name]}" for name in names)
    open_hosts = [host for host in ("localhost", "127.0.0.1") if not _passes_by(host, environ)]
    if not open_hosts:
        return ok("proxies", f"{words}, but not for this machine")
    why = f"{words} also for {' and '.join(open_hosts)}: clients such as curl will not reach the frontend"
    return warn("proxies", why, "export no_proxy=localhost,127.0.0.1")


def _passes_by(host: str, environ: Mapping[str, str]) -> bool:
    from urllib.request import proxy_bypass

    return bool(proxy_bypass(host, {"no": environ.get("no_proxy") or environ.get("NO_PROXY") or ""}))


def read_port(host: str, port: int) -> Port:
    """By listening on it for a moment."""
    if not port:
        return Port(host, port)
    try:
        listener.bind(host, port).close()
    except PortBusy as refused:
        ours = next((each.name for each in running() if each.record.port == port), "")
        return Port(host, port, str(refused), "in use" in str(refused), ours, _unnamed_owner(port, str(refused)))
    except DynamoError as refused:
        return Port(host, port, str(refused))
    return Port(host, port)


def _unnamed_owner(port: int, refusal: str) -> str:
    """The user, where the refusal names no process: one may see whose socket it is, not which process has it."""
    return listening_user(port) if refusal.endswith("in use") else ""


def listening_user(port: int, root: Path = Path("/")) -> str:
    """Whose socket listens on the port, "" when the kernel does not tell."""
    for file in ("proc/net/tcp", "proc/net/tcp6"):
        try:
            lines = (root / file).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                return user_name(int(fields[7]))
    return ""


def read_range(root: Path = Path("/")) -> tuple[int, int] | None:
    try:
        first, last = (root / "proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except (OSError, ValueError):
        return None
    return int(first), int(last)


def connect_to_oneself() -> str:
    """Why a connection over 127.0.0.1 does not come about, "" when it does."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), CONNECT_S).close()
    except OSError as failure:
        return failure.strerror or str(failure)
    return ""


def resolve(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(address[4][0]) for address in found))

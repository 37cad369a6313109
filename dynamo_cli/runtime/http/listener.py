"""Listening TCP sockets: bound exclusively, a busy port named with its holder, or inherited from the supervisor."""

from __future__ import annotations

import errno
import shlex
import socket

from dynamo_cli.errors import PortBusy, ResourceMissing, UsageError

BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """Listen on `host`:`port` (0: the kernel chooses). Raises PortBusy, ResourceMissing, or UsageError for the host."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, OverflowError, UnicodeError) as error:
        raise UsageError(f"host {host}: {error}") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _explained(error, host, port) from None
    return listener


def inherited(descriptor: int) -> socket.socket:
    """The listening socket with this number. Raises UsageError when it is not one."""
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise UsageError(f"--listen-fd {descriptor}: not a socket ({error.strerror})") from None
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.detach()
        raise UsageError(f"--listen-fd {descriptor}: the socket does not listen")
    return listener


def url(listener: socket.socket, tls: bool = False) -> str:
    """Where a client on this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if tls else 'http'}://{host}:{port}"


def holder(port: int) -> str:
    """`pid 4711 (python3 -m http.server)` of the process that listens on the port, "" when it cannot be seen."""
    import psutil

    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return ""
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
            return f"pid {connection.pid} ({_command(connection.pid)})"
    return ""


def _command(pid: int) -> str:
    import psutil

    try:
        argv = psutil.Process(pid).cmdline()
        line = shlex.join(argv) if argv else psutil.Process(pid).name()
    except psutil.Error:
        return "?"
    return line if len(line) <= 80 else f"{line[:77]}..."


def _explained(error: OSError, host: str, port: int) -> ResourceMissing:
    if error.errno == errno.EADDRINUSE:
        by = holder(port)
        return PortBusy(f"port {port} is in use by {by}" if by else f"port {port} on {host} is in use")
    if error.errno == errno.EACCES:
        return PortBusy(f"port {port} needs more rights than you have; choose one above 1023")
    return ResourceMissing(f"cannot listen on {host}:{port}: {error.strerror}")

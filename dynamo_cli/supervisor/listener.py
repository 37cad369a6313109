"""The public listening socket: bound once, exclusively, and a busy port named with its holder."""

from __future__ import annotations

import errno
import shlex
import socket

from dynamo_cli.errors import PortBusy, ResourceMissing

BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 lets the kernel choose. PortBusy names the process that holds it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _explained(error, host, port) from None
    except BaseException:
        listener.close()
        raise
    return listener


def url(listener: socket.socket) -> str:
    """Where a client on this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


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

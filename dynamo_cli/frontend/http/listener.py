"""Where a frontend listens: a socket it inherits, or one it binds itself."""

from __future__ import annotations

import errno
import socket

from dynamo_cli.errors import PortBusy, ResourceMissing, UsageError

BACKLOG = 2048


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


def bind(host: str, port: int) -> socket.socket:
    """Listen on `host`:`port` (0: the kernel chooses). Raises PortBusy or ResourceMissing."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, OverflowError, UnicodeError) as error:
        raise UsageError(f"--http-host {host}: {error}") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortBusy(
                f"port {port} on {host} is in use; stop who holds it or choose another --http-port"
            ) from None
        raise ResourceMissing(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener

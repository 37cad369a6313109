"""How much of anything a client may send, hold or wait for."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from dynamo_cli.errors import Overloaded, UsageError

KIB = 1 << 10
MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds.

    `head_s`: from the first byte of a request to the end of its head. `body_s`: what its body may take on top of that,
    plus its size over `body_rate` (bytes/s). `idle_s`: a silent connection that has no request in flight. `write_s`:
    a client that takes nothing of its answer. `handshake_s`: TLS. `linger_s`: how long the rest of a refused request
    is swallowed. `connections`: at a time, None for what the limit of open files allows. `overload_status`: the HTTP
    status of the answer that workers have too much to do.
    """

    uri: int = 8 * KIB
    head: int = 64 * KIB
    headers: int = 128
    body: int = 192 * MIB
    body_rate: int = KIB
    pipelined: int = 16
    connections: int | None = None
    head_s: float = 30.0
    body_s: float = 60.0
    idle_s: float = 75.0
    write_s: float = 300.0
    handshake_s: float = 10.0
    linger_s: float = 2.0
    overload_status: int = Overloaded.status

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Limits:
        """Raises UsageError, which names the variable."""

        def positive(variable: str, default: float) -> float:
            value = number(variable, default, environ)
            if value <= 0:
                raise UsageError(f"{variable}={environ[variable]!r} must be more than 0")
            return value

        connections = positive("DYN_HTTP_MAX_CONNECTIONS", math.inf)
        return cls(
            head=int(positive("DYN_HTTP_HEAD_LIMIT_KB", cls.head / KIB) * KIB),
            body=int(positive("DYN_HTTP_BODY_LIMIT_MB", cls.body / MIB) * MIB),
            connections=None if math.isinf(connections) else max(1, int(connections)),
            head_s=positive("DYN_HTTP_HEAD_TIMEOUT_SECS", cls.head_s),
            body_s=positive("DYN_HTTP_BODY_TIMEOUT_SECS", cls.body_s),
            idle_s=positive("DYN_HTTP_IDLE_TIMEOUT_SECS", cls.idle_s),
            write_s=positive("DYN_HTTP_WRITE_TIMEOUT_SECS", cls.write_s),
            handshake_s=positive("DYN_TLS_HANDSHAKE_TIMEOUT_SECS", cls.handshake_s),
            overload_status=_error_status("DYN_HTTP_OVERLOAD_STATUS_CODE", cls.overload_status, environ),
        )


def _error_status(variable: str, default: int, environ: Mapping[str, str]) -> int:
    value = number(variable, default, environ)
    if value not in range(400, 600):
        raise UsageError(f"{variable}={environ[variable]!r} is no HTTP status of an error, 400 to 599")
    return int(value)


def number(variable: str, default: float, environ: Mapping[str, str] = os.environ) -> float:
    """The finite number of a variable; raises UsageError when it is none."""
    text = environ.get(variable)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{variable}={text!r} is no number")
    return value

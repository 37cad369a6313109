"""Which web pages of other origins may use this server from a browser."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.http.request import Request

ANY = "*"
MAX_AGE_S = 3600
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s,?#]+|null|\*")
_HEADER_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,4096}")
_EXPOSED = b"access-control-expose-headers: x-request-id, retry-after\r\n"


class Cors:
    """`origins` as a browser writes them, or `*` for all. Raises UsageError."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = {origin.rstrip("/").encode() for origin in map(_checked, origins)}
        self._any = ANY.encode() in self._origins

    def headers(self, request: Request) -> bytes:
        """Complete lines for the answer, whatever it is; those of a preflight too."""
        vary = b"" if self._any else b"vary: Origin\r\n"
        origin = request.headers.get(b"origin")
        if origin is None or not (self._any or origin in self._origins):
            return vary
        allowed = b"access-control-allow-origin: %b\r\n%b" % (ANY.encode() if self._any else origin, vary)
        if request.method == "OPTIONS" and b"access-control-request-method" in request.headers:
            return allowed + _preflight(request)
        return allowed + _EXPOSED


def _preflight(request: Request) -> bytes:
    """Any header may be sent: clients of OpenAI's API send a good many of their own."""
    lines = [b"access-control-allow-methods: GET, POST, HEAD, OPTIONS", b"access-control-max-age: %d" % MAX_AGE_S]
    wanted = request.headers.get(b"access-control-request-headers", b"")
    if _HEADER_NAMES.fullmatch(wanted):
        lines.append(b"access-control-allow-headers: " + wanted)
    return b"".join(line + b"\r\n" for line in lines)


def origin_problem(origin: str) -> str | None:
    """What is wrong with an origin, or None."""
    if _ORIGIN.fullmatch(origin.rstrip("/").lower()):
        return None
    return f"{origin}: expected an origin such as https://example.com, or *"


def _checked(origin: str) -> str:
    problem = origin_problem(origin)
    if problem:
        raise UsageError(f"--cors-allow-origin {problem}")
    return origin.lower()

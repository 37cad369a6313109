"""What a request's body says that it is."""

from __future__ import annotations

from dynamo_cli.runtime.http.refusal import Refusal, refusal
from dynamo_cli.runtime.http.request import Request

_UNTYPED = "a web page must say what it sends: content-type: application/json"


def json_only(request: Request) -> Refusal | None:
    """JSON, or nothing said, but for web pages: what they may send to any server without asking first is refused."""
    value = request.headers.get(b"content-type")
    if value == b"application/json":
        return None
    if value is None:
        return refusal(415, _UNTYPED) if b"origin" in request.headers else None
    kind = value.partition(b";")[0].strip().lower()
    if kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json")):
        return None
    return refusal(415, f"content-type {kind[:80].decode('latin-1')!r} is not JSON; send application/json")

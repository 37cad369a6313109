from __future__ import annotations

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.openai import NvExt
from dynamo_cli.runtime.http.exchange import Exchange

HEADER = b"x-worker-instance-id"


def pinned_instance(exchange: Exchange, nvext: NvExt | None) -> int | None:
    """The instance the caller names, by nvext or header: a decimal number, or hexadecimal with a letter or 0x."""
    named = nvext.backend_instance_id if nvext is not None else None
    if named is None and (header := exchange.request.headers.get(HEADER)):
        named = header.decode("latin-1").strip()
    if named is None or isinstance(named, int):
        return named
    try:
        return int(named, 10 if named.isdecimal() else 16)
    except ValueError:
        raise InvalidRequest(f"{named!r} is no instance id", "nvext.backend_instance_id") from None

"""The JSON body of a request to the system server."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.runtime.http.exchange import Exchange

T = TypeVar("T")


def body_of(exchange: Exchange, kind: type[T]) -> T:
    """No body is an empty object. Raises InvalidRequest, which names the field."""
    try:
        return msgspec.json.decode(exchange.request.body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        place = place.rstrip("`").lstrip(".")
        raise InvalidRequest(f"{place}: {what}" if place else f"the body: {what}", place or None) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None

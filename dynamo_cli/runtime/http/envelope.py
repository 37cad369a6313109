"""Errors in OpenAI's form: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from typing import Any

import msgspec

from dynamo_cli.errors import DynamoError, Overloaded

_TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def error_object(error: DynamoError, status: int) -> dict[str, Any]:
    """The inner object; `code` is a word, or null for a plain invalid request."""
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")
    if error.code == Overloaded.code:
        kind = "overloaded"
    elif status == 503:
        kind = "service_unavailable"
    code = None if error.code == "invalid_request_error" else error.code
    return {"message": str(error), "type": kind, "param": getattr(error, "param", None), "code": code}


def error_body(error: DynamoError, status: int | None = None) -> bytes:
    return msgspec.json.encode({"error": error_object(error, status or error.status)})

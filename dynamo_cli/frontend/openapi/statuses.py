"""The statuses that are errors, and what comes with them."""

from __future__ import annotations

from dynamo_cli.frontend.openapi.fields.field import Schema, ref
from dynamo_cli.runtime.http.limits import KIB, MIB, Limits

OVERLOADED = 529
UNAUTHORIZED = 401
OF_HTTP = (400, 405, 408, 413, 414, 415, 417, 431, 500, 501, 505)
"""What any request may meet, before or whatever its path is."""

_NAMED = {
    400: ("BadRequest", "The request is wrong; `error.param` names the field, if it is one."),
    401: ("Unauthorized", "The API key is missing or wrong."),
    404: ("NotFound", "The model or the path is not served here."),
    405: ("MethodNotAllowed", "The path knows other methods; `Allow` names them."),
    408: ("RequestTimeout", "The head or body of the request took too long."),
    413: (
        "ContentTooLarge",
        f"The body is larger than the server takes: {Limits.body // MIB} MiB unless it was told otherwise.",
    ),
    414: ("UriTooLong", f"The request target is longer than {Limits.uri // KIB} KiB."),
    415: ("UnsupportedMediaType", "The body is not JSON, or encoded."),
    417: ("ExpectationFailed", "Of the expectations only 100-continue is known."),
    431: ("HeadersTooLarge", "The request head is too large."),
    500: ("InternalServerError", "The server or its engine failed on this request."),
    501: ("NotImplemented", "The method, or the transfer encoding, is not known."),
    503: ("ServiceUnavailable", "No worker can answer now, or the server shuts down. Try again."),
    504: ("GatewayTimeout", "The worker did not answer in time, or not before `x-request-timeout-ms`."),
    505: ("HttpVersionNotSupported", "Only HTTP/1.1 and 1.0 are spoken."),
    OVERLOADED: ("Overloaded", "Every worker is busy. Try again later. A server may be told to say another status."),
}
_HEADERS = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    503: ("Retry-After",),
    OVERLOADED: ("Retry-After",),
}
REQUEST_ID = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}


def headers() -> Schema:
    """The components of headers."""
    text = {"type": "string"}
    return {
        "X-Request-Id": {
            "description": "The client's own `x-request-id`, or one of ours.",
            "required": True,
            "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
        },
        "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
        "WWW-Authenticate": {"description": "How to authenticate.", "required": True, "schema": text},
        "Allow": {"description": "The methods of the path.", "required": True, "schema": text},
    }


def responses() -> Schema:
    """The components of error responses."""
    return {_name(status): _response(status) for status in _NAMED}


def response(status: int) -> Schema:
    """A reference to one of them."""
    return {"$ref": f"#/components/responses/{_name(status)}"}


def _response(status: int) -> Schema:
    more = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS.get(status, ())}
    return {
        "description": _NAMED[status][1],
        "headers": {**REQUEST_ID, **more},
        "content": {"application/json": {"schema": ref("Error")}},
    }


def _name(status: int) -> str:
    return _NAMED[status][0]

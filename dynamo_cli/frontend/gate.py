"""What a request must bring before its body is read."""

from __future__ import annotations

from dynamo_cli.runtime.http.content_type import json_only
from dynamo_cli.runtime.http.cors import Cors
from dynamo_cli.runtime.http.keys import ApiKeys
from dynamo_cli.runtime.http.refusal import Refusal
from dynamo_cli.runtime.http.request import Request

OPEN = frozenset(("/health", "/live", "/metrics", "/openapi.json", "/docs"))
"""Needs no key: load balancers and Prometheus ask here, and a browser that opens a page has no key to send."""
_CHALLENGE = b"www-authenticate: Bearer\r\n"


class Gate:
    """Judges requests of the public port; the admin socket has none."""

    def __init__(self, keys: ApiKeys | None = None, cors: Cors | None = None) -> None:
        self._keys = keys
        self._cors = cors

    @property
    def asks_keys(self) -> bool:
        return self._keys is not None

    def admit(self, request: Request) -> Refusal | None:
        """A browser's preflight carries no key, so OPTIONS needs none."""
        if self._cors is not None:
            request.extra = self._cors.headers(request)
        if self._keys is not None and request.method != "OPTIONS" and request.path.removesuffix("/") not in OPEN:
            wrong = self._keys.check(request.headers.get(b"authorization"))
            if wrong is not None:
                return Refusal(wrong, wrong.status, _CHALLENGE)
        if request.method == "POST":
            return json_only(request)
        return None

"""GET /openapi.json and /docs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from dynamo_cli.runtime.http.exchange import JSON, Exchange

HTML = b"text/html; charset=utf-8"
_NOTHING_FOREIGN = (
    b"content-security-policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    b"img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
)


class Pages:
    """The handlers. Both pages are made when they are asked for first, then kept."""

    def __init__(self, routes: Iterable[tuple[str, str]], asks_keys: bool) -> None:
        """`routes`: method and path of those that are served; the others are not described."""
        self._routes = routes
        self._asks_keys = asks_keys

    def openapi(self, exchange: Exchange) -> None:
        exchange.send(200, self._document, JSON)

    def docs(self, exchange: Exchange) -> None:
        exchange.send(200, self._docs, HTML, _NOTHING_FOREIGN)

    @cached_property
    def _document(self) -> bytes:
        from dynamo_cli.frontend.openapi.document import render

        return render(set(self._routes), self._asks_keys)

    @cached_property
    def _docs(self) -> bytes:
        return Path(__file__).with_name("docs.html").read_bytes()

"""Which handler answers a path."""

from __future__ import annotations

from collections.abc import Iterator

from dynamo_cli.errors import MethodNotAllowed, RouteMissing
from dynamo_cli.runtime.http.exchange import Exchange, Handler


class RouteTable:
    """Exact paths, with or without a slash at the end, and prefixes that a name must follow. HEAD goes with GET."""

    def __init__(self) -> None:
        self._exact: dict[str, tuple[str, Handler]] = {}
        self._prefixes: dict[str, tuple[str, Handler]] = {}

    def add(self, method: str, path: str, handler: Handler) -> None:
        """One method a path; the last one added counts. A path that ends with `/` is a prefix."""
        (self._prefixes if path.endswith("/") else self._exact)[path] = (method, handler)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Method and path of each route."""
        for path, (method, _) in {**self._exact, **self._prefixes}.items():
            yield method, path

    def handle(self, exchange: Exchange) -> None:
        """Raises RouteMissing; a wrong method is answered with those allowed, OPTIONS too."""
        request = exchange.request
        if request.method == "OPTIONS" and request.path == "*":
            exchange.send_nothing(_allow("GET", "POST"))
            return
        method, handler = self._exact.get(request.path) or self._find(request.path)
        if request.method == method or (request.method == "HEAD" and method == "GET"):
            handler(exchange)
        elif request.method == "OPTIONS":
            exchange.send_nothing(_allow(method))
        else:
            error = MethodNotAllowed(f"{request.method} {request.path} is not allowed; use {method}")
            exchange.send_error(error, headers=_allow(method))

    def _find(self, path: str) -> tuple[str, Handler]:
        for prefix, route in self._prefixes.items():
            if path.startswith(prefix) and len(path) > len(prefix):
                return route
        route_without_slash = self._exact.get(path.removesuffix("/"))
        if route_without_slash is None:
            raise RouteMissing(f"there is no {path} here")
        return route_without_slash


def _allow(*methods: str) -> bytes:
    names = [*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"]
    return f"allow: {', '.join(names)}\r\n".encode()

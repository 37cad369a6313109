"""Which handler answers a path."""

from __future__ import annotations

from collections.abc import Iterator

from dynamo_cli.errors import MethodNotAllowed, RouteMissing
from dynamo_cli.runtime.http.exchange import Exchange, Handler


class RouteTable:
    """Exact paths, with or without a slash at the end, and prefixes that a name must follow. HEAD goes with GET."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Handler]] = {}
        self._prefixes: dict[str, dict[str, Handler]] = {}

    def add(self, method: str, path: str, handler: Handler) -> None:
        """The last one added counts. A path that ends with `/` is a prefix."""
        (self._prefixes if path.endswith("/") else self._exact).setdefault(path, {})[method] = handler

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Method and path of each route."""
        for path, handlers in {**self._exact, **self._prefixes}.items():
            for method in handlers:
                yield method, path

    def handle(self, exchange: Exchange) -> None:
        """Raises RouteMissing; a wrong method is answered with those allowed, OPTIONS too."""
        request = exchange.request
        if request.method == "OPTIONS" and request.path == "*":
            exchange.send_nothing(_allow("GET", "POST"))
            return
        handlers = self._exact.get(request.path) or self._find(request.path)
        handler = handlers.get("GET" if request.method == "HEAD" else request.method)
        if handler is not None:
            handler(exchange)
        elif request.method == "OPTIONS":
            exchange.send_nothing(_allow(*handlers))
        else:
            use = " or ".join(handlers)
            error = MethodNotAllowed(f"{request.method} {request.path} is not allowed; use {use}")
            exchange.send_error(error, headers=_allow(*handlers))

    def _find(self, path: str) -> dict[str, Handler]:
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

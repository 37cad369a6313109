"""Tells all who want to know that a request is over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from dynamo_cli.frontend.record import Record
from dynamo_cli.runtime.http.exchange import Exchange

log = logging.getLogger(__name__)
Listener = Callable[[Exchange, "Record | None"], None]
"""Hears of each exchange, with its record if it asked for generated text. Called from the event loop."""


class Journal:
    """`ended` is the HTTP server's on_ended. A listener that fails is left out from then on."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)

    def ended(self, exchange: Exchange) -> None:
        record = exchange.about
        for listener in self._listeners:
            self._tell(listener, exchange, record)

    def _tell(self, listener: Listener, exchange: Exchange, record: Record | None) -> None:
        try:
            listener(exchange, record)
        except Exception:
            log.exception("requests are followed by %s no more", getattr(listener, "__qualname__", listener))
            self._listeners = tuple(other for other in self._listeners if other is not listener)

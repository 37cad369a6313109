"""GET /health of a worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dynamo_cli.runtime.http.exchange import Exchange

NANOS = 1_000_000_000


class SystemHealth:
    """The admin socket speaks the components' words, the system port the reference's.

    `health` is the component's own, `endpoint` the name of what the worker serves.
    """

    def __init__(self, health: Callable[[], dict[str, Any]], endpoint: str) -> None:
        self._health = health
        self._endpoint = endpoint
        self._began = time.monotonic_ns()

    def get(self, exchange: Exchange) -> None:
        health = self._health()
        ready = health["status"] == "ready"
        exchange.send_json(
            health if exchange.request.trusted else self._reference(health, ready), 200 if ready else 503
        )

    def _reference(self, health: dict[str, Any], ready: bool) -> dict[str, Any]:
        secs, nanos = divmod(time.monotonic_ns() - self._began, NANOS)
        word = "ready" if ready else "notready"
        return {
            "status": word,
            "uptime": {"secs": secs, "nanos": nanos},
            "endpoints": {self._endpoint: word},
            "reason": health["reason"] or ("" if ready else health["status"]),
        }

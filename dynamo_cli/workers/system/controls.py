"""POST /engine/control/NAME: what an engine can do besides generating."""

from __future__ import annotations

from typing import Any, get_args

from dynamo_cli.errors import RouteMissing
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.workers.engine import Control
from dynamo_cli.workers.resting import Resting
from dynamo_cli.workers.system.body import body_of

PATH = "/engine/control"
OLDER_PATH = "/engine/"
CONTROLS: tuple[Control, ...] = get_args(Control)


class ControlRoutes:
    """`engine` is the name of one with `controls`."""

    def __init__(self, engine: str, controls: tuple[Control, ...], resting: Resting) -> None:
        self._engine = engine
        self._controls = controls
        self._resting = resting

    def list_all(self, exchange: Exchange) -> None:
        exchange.send_json({"controls": list(self._controls)})

    async def run(self, exchange: Exchange) -> None:
        """Raises RouteMissing for what is no control; one that the engine lacks is 501. Raises InvalidRequest."""
        name = exchange.request.path.removeprefix(OLDER_PATH).removeprefix("control/").strip("/")
        control = next((known for known in CONTROLS if known == name), None)
        if control not in self._controls or control is None:
            has = ", ".join(self._controls) or "none"
            missing = RouteMissing(f"engine {self._engine} has no control {name!r}; it has: {has}")
            exchange.send_error(missing, 404 if control is None else 501)
            return
        arguments = body_of(exchange, dict[str, Any])
        answer = await self._resting.control(control, arguments)
        exchange.send_json({"status": "ok", **answer})

"""What the engine says of its load, kept ready for the thread that answers pings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.workers.engine import Engine

REFRESH_S = 0.05
"""How old the load may be while there is any."""

_log = logging.getLogger("dynamo.worker")
_encode = msgspec.msgpack.encode


class LoadReport:
    """`encoded` may be read from any thread; empty when the engine cannot tell.

    It is looked at anew while there are requests, or the engine has a load without them: a prefill worker keeps KV
    for others after its last one. `begin` costs nothing more than that look, and an idle worker never wakes up for it.
    """

    def __init__(self, engine: Engine, inflight: Callable[[], int]) -> None:
        self._engine = engine
        self._inflight = inflight
        self._timer: asyncio.TimerHandle | None = None
        self._failing = False
        self._loaded = False
        self.encoded = b""
        self._look()

    def read(self) -> bytes:
        return self.encoded

    def begin(self) -> None:
        """A request has come."""
        if self._timer is None and self.encoded:
            self._timer = asyncio.get_running_loop().call_later(REFRESH_S, self._refresh)

    def now(self) -> WorkerLoad | None:
        """None when the engine cannot tell. A look that fails is said once; the next ones may do better."""
        try:
            return self._look()
        except Exception:
            if not self._failing:
                _log.exception("the engine cannot tell its load")
            self._failing = True
            return None

    def _refresh(self) -> None:
        self.now()
        again = self._loaded or self._inflight()
        self._timer = asyncio.get_running_loop().call_later(REFRESH_S, self._refresh) if again else None

    def _look(self) -> WorkerLoad | None:
        load = self._engine.load()
        self._loaded = load is not None and load != WorkerLoad(total_blocks=load.total_blocks)
        self.encoded = b"" if load is None else _encode(load)
        self._failing = False
        return load

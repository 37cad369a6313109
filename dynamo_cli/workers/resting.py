"""Controls of an engine, and what the worker does around those that make it rest."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from dynamo_cli.runtime.endpoint import ServedEndpoint
from dynamo_cli.workers.engine import Control, Engine
from dynamo_cli.workers.registration import Registration

RESTS: dict[Control, Control] = {"sleep": "wake_up", "pause": "resume"}
"""What makes an engine rest, and what ends it."""
_WORDS = {"sleep": "the engine sleeps", "pause": "the engine is paused"}
_log = logging.getLogger("dynamo.worker")


class Resting:
    """One control at a time. While the engine rests its worker is out of rotation.

    Before it sleeps, requests that run have `grace_s` to end.
    """

    def __init__(self, engine: Engine, registration: Registration, served: ServedEndpoint, grace_s: float) -> None:
        self._engine = engine
        self._registration = registration
        self._served = served
        self._grace_s = grace_s
        self._turn = asyncio.Lock()

    async def control(self, name: Control, arguments: dict[str, Any]) -> dict[str, Any]:
        """Raises what the engine raises; one that did not fall asleep is in rotation again."""
        async with self._turn:
            if name not in RESTS:
                answer = await self._engine.control(name, arguments)
            else:
                answer = await self._rest(name, arguments)
            for rest, end in RESTS.items():
                if name == end and answer.get("awake", True):
                    await self._registration.come_back(rest)
        _log.info("engine control %s is done", name)
        return answer

    async def _rest(self, name: Control, arguments: dict[str, Any]) -> dict[str, Any]:
        rested = self._registration.is_out(name)
        await self._registration.leave(name, _WORDS[name])
        try:
            if name == "sleep":
                await self._served.wait_idle(self._grace_s)
            return await self._engine.control(name, arguments)
        except BaseException:
            if not rested:
                await self._registration.come_back(name)
            raise

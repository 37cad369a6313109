"""Which models have answered: a deployment is ready when each of them has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from dynamo_cli.runtime.control import ServiceStatus
from dynamo_cli.supervisor.probes import Prober

logger = logging.getLogger("dynamo.supervisor")

ASK_AGAIN_S = 0.05


class Answering:
    """`models`: those that have answered since something of theirs changed. `answered` is called with each more."""

    def __init__(
        self,
        prober: Prober,
        wanted: Callable[[], Sequence[str]],
        statuses: Callable[[], list[ServiceStatus]],
        answered: Callable[[], object],
    ) -> None:
        self.models: set[str] = set()
        self._prober = prober
        self._wanted = wanted
        self._statuses = statuses
        self._answered = answered

    def forget(self, models: Iterable[str]) -> None:
        """They have to answer anew."""
        self.models.difference_update(models)

    async def run(self) -> None:
        while True:
            ready = [status for status in self._statuses() if status.ready]
            frontends = [status.name for status in ready if status.kind == "frontend"]
            served = {status.model for status in ready if status.kind == "worker"}
            for model in self._wanted():
                asked = model in self.models and model in self._prober.kinds
                if frontends and model in served and not asked:
                    await self._ask(frontends[0], model)
            await asyncio.sleep(ASK_AGAIN_S)

    async def _ask(self, frontend: str, model: str) -> None:
        answer = await self._prober.first_token(frontend, model)
        if answer.ready:
            self.models.add(model)
            self._answered()
        else:
            logger.debug("%s", answer.reason)

"""What can be done to services from here: asked for in a thread, told when refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from dynamo_cli.errors import DynamoError
from dynamo_cli.runtime.control import ControlClient, DeploymentStatus
from dynamo_cli.tui.ask import Ask, AskNumber, Choice

ROLLING, AT_ONCE, STOP = "rolling", "now", "stop"


class Host(Protocol):
    """The app, as far as orders need it."""

    status: DeploymentStatus

    async def ask(self, question: Ask) -> str: ...

    async def ask_number(self, question: AskNumber) -> int: ...

    def tell(self, words: str, bad: bool = False) -> None: ...


class Orders:
    """Names are those of services or pools. What interrupts requests asks first."""

    def __init__(self, client: ControlClient, host: Host) -> None:
        self._client = client
        self._host = host

    async def restart(self, name: str) -> None:
        how = await self._host.ask(
            Ask(
                f"Restart {name}?",
                [
                    Choice("r", ROLLING, "One beside the other: the next one starts, then this one ends"),
                    Choice("n", AT_ONCE, "At once: it stops, then it starts"),
                ],
            )
        )
        if how:
            await self._do(
                f"restart of {name} asked for", lambda: self._client.act("restart", [name], rolling=how == ROLLING)
            )

    async def stop(self, name: str) -> None:
        if await self._host.ask(Ask(f"Stop {name}?", [Choice("x", STOP, "Stop it; s starts it again")])):
            await self._do(f"stop of {name} asked for", lambda: self._client.act("stop", [name]))

    async def start(self, name: str) -> None:
        await self._do(f"start of {name} asked for", lambda: self._client.act("start", [name]))

    async def scale(self, pool: str, step: int) -> None:
        """Change the number of its replicas, from the present one by `step` unless another is typed."""
        now = sum(one.pool == pool and not (one.leaving or one.replaces) for one in self._host.status.services)
        wanted = await self._host.ask_number(AskNumber(f"Replicas of {pool}, now {now}", now + step))
        if wanted >= 0 and wanted != now:
            await self._do(f"{wanted} of {pool} asked for", lambda: self._client.scale({pool: wanted}))

    async def _do(self, words: str, order: Callable[[], object]) -> None:
        try:
            await asyncio.to_thread(order)
        except DynamoError as error:
            self._host.tell(str(error), bad=True)
        else:
            self._host.tell(words)

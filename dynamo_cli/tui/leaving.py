"""Ways out: stop the deployment, leave it running, or end it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from dynamo_cli.errors import DynamoError
from dynamo_cli.runtime.control import ControlClient
from dynamo_cli.tui.ask import Ask, Choice

if TYPE_CHECKING:
    from dynamo_cli.supervisor.launch.screen import Ending

STOP, LEAVE = "stop", "leave"


class Host(Protocol):
    """The app, as far as leaving needs it."""

    async def ask(self, question: Ask) -> str: ...

    def tell(self, words: str, bad: bool = False) -> None: ...

    def end(self, ending: Ending) -> None: ...


class Leaving:
    """`owns`: the deployment was started by this `up`. `stopping`: a stop was asked for from here."""

    def __init__(self, name: str, client: ControlClient, host: Host, *, owns: bool) -> None:
        self.stopping = False
        self._name = name
        self._client = client
        self._host = host
        self._owns = owns
        self._gone = False
        self._meant: Ending = "stopped"

    def note(self, gone: bool) -> None:
        """Whether its supervisor has gone; after a stop that is what was waited for."""
        self._gone = gone
        if gone and self.stopping:
            self._host.end(self._meant)

    async def quit(self, interrupted: bool) -> None:
        """`interrupted`: by Ctrl-C, which while it stops means at once."""
        if self._gone:
            self._host.end("ended")
        elif self.stopping and interrupted:
            await self._do(lambda: self._client.stop(force=True), "ending it at once")
        elif self.stopping:
            self._host.tell(f"{self._name} is stopping in order; Ctrl-C ends it at once")
        elif not self._owns:
            self._host.end("left")
        else:
            await self._ask()

    async def stop(self) -> None:
        """In order; the UI stays until it is done."""
        self.stopping = await self._do(self._client.stop, f"stopping {self._name}; Ctrl-C ends it at once")

    async def stop_after_asking(self) -> None:
        if await self._host.ask(Ask(f"Stop all of {self._name}?", [Choice("s", STOP, "Stop it in order")])):
            await self.stop()

    async def end_by_signal(self, interrupted: bool) -> None:
        """Who started it is told to end: the deployment ends with it, a guest only goes. `interrupted`: as Ctrl-C."""
        if self._owns and not self._gone:
            self._meant = "stopped" if interrupted else "ended"
            await self.stop()
        else:
            self._host.end("ended" if self._gone else "left")

    async def _ask(self) -> None:
        choices = [
            Choice("s", STOP, "Stop it in order (also Ctrl-C)"),
            Choice("l", LEAVE, f"Leave it running; `dynamo attach {self._name}` shows it again"),
        ]
        answer = await self._host.ask(Ask(f"Quit: what becomes of {self._name}?", choices, hurried=STOP))
        if answer == STOP:
            await self.stop()
        elif answer == LEAVE and await self._do(self._client.detach):
            self._host.end("left")

    async def _do(self, order: Callable[[], object], words: str = "") -> bool:
        """Whether the supervisor took the order."""
        try:
            await asyncio.to_thread(order)
        except DynamoError as error:
            self._host.tell(str(error), bad=True)
            return False
        if words:
            self._host.tell(words)
        return True

"""What discovery says of a worker: its instance, the card of its model, those of its adapters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from dynamo_cli.protocol.instance import ModelCard
from dynamo_cli.runtime.discovery.base import Discovery
from dynamo_cli.runtime.endpoint import ServedEndpoint

RESTS = ("sleep", "pause")
_log = logging.getLogger("dynamo.worker")


class Registration:
    """Nobody hears of the worker before `begin`.

    While there is a reason to be out of rotation the cards stay, and the instance, to which requests go, does not.

    `on_change` is called when a reason comes or goes, until the end.
    """

    def __init__(
        self, served: ServedEndpoint, discovery: Discovery, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._served = served
        self._discovery = discovery
        self._cards: dict[str, ModelCard] = {}
        self._out: dict[str, str] = {}
        self._turn = asyncio.Lock()
        self._begun = False
        self._over = False
        self.on_change = on_change

    @property
    def why_out(self) -> str:
        """ "" while it is in rotation."""
        return "; ".join(self._out.values())

    @property
    def resting(self) -> bool:
        """Out because it was told so: then it also takes nothing that is on its way already."""
        return any(reason in self._out for reason in RESTS)

    def is_out(self, reason: str) -> bool:
        return reason in self._out

    async def begin(self, card: ModelCard) -> None:
        """Let clients find the worker, its model, and the adapters on top of it."""
        async with self._turn:
            self._begun = True
            if not self._out:
                await self._served.register()
            for each in (card, *self._cards.values()):
                await self._put(each)
            self._cards = {card.name: card, **self._cards}

    async def add(self, card: ModelCard) -> None:
        async with self._turn:
            if self._over:
                return
            self._cards[card.name] = card
            if self._begun:
                await self._put(card)

    async def remove(self, name: str) -> None:
        async with self._turn:
            card = self._cards.pop(name, None)
            if card is not None:
                await self._discovery.delete(card.key)

    async def leave(self, reason: str, why: str) -> None:
        """Go out of rotation for this reason, which `why` says in words."""
        async with self._turn:
            was_in = not self._out
            self._out[reason] = why
            if was_in and not self._over:
                await self._served.unregister()
                _log.warning("out of rotation: %s", why)
        self._tell()

    async def come_back(self, reason: str) -> None:
        """This reason is no more. Idempotent. Raises ResourceMissing when nobody can be told: then it still is."""
        async with self._turn:
            if self._out.keys() == {reason} and not self._over:
                await self._served.register()
                _log.info("in rotation again")
            self._out.pop(reason, None)
        self._tell()

    async def end(self) -> None:
        """Nobody new comes from now on: first the adapters' cards go, then the model's, then the instance."""
        async with self._turn:
            self._over = True
            for name in reversed([*self._cards]):
                await self._discovery.delete(self._cards.pop(name).key)
            await self._served.unregister()

    def _tell(self) -> None:
        if not self._over:
            self.on_change()

    async def _put(self, card: ModelCard) -> None:
        await self._discovery.put(card.key, msgspec.msgpack.encode(card))

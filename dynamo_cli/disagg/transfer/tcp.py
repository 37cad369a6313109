"""Bytes over a TCP connection of their own."""

from __future__ import annotations

from typing import Any, ClassVar

from dynamo_cli.disagg.transfer.base import Ticket, Transfer, TransferKind
from dynamo_cli.disagg.transfer.channel import Channel
from dynamo_cli.disagg.transfer.claims import Claims, claimed


class TcpTransfer(Transfer):
    """The offered memory is written to the socket as it is, and read from it into that of the fetching side."""

    kind: ClassVar[TransferKind] = "tcp"

    def __init__(self, host: str = "127.0.0.1", **limits: Any) -> None:
        super().__init__(host, **limits)
        self._claims = Claims(self.offers, host, self.stall_s, _send)

    @property
    def address(self) -> str:
        return self._claims.address

    async def start(self) -> None:
        self._claims.open()

    async def _fetch(self, ticket: Ticket, into: memoryview) -> None:
        async with claimed(ticket, self.stall_s) as channel:
            await channel.receive_into(into)

    async def close(self) -> None:
        await self._claims.close()
        self.offers.clear()


async def _send(channel: Channel, view: memoryview) -> None:
    await channel.send(view)

"""Bytes by NIXL, host memory to host memory, by the fastest way that UCX finds; the claim goes over TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from dynamo_cli.disagg.transfer.base import Ticket, Transfer, TransferKind
from dynamo_cli.disagg.transfer.channel import Channel, Region
from dynamo_cli.disagg.transfer.claims import Claims, claimed
from dynamo_cli.disagg.transfer.nixl_agent import NixlAgent, Pauses
from dynamo_cli.errors import TransferFailed
from dynamo_cli.runtime.links.frames import Error
from dynamo_cli.runtime.within import within

SLOWEST_BYTES_PER_S = 50e6
"""A transfer that is slower is given up: while it runs, nothing tells how far it is."""


class NixlTransfer(Transfer):
    """The memory is open to peers only while a claim lasts. UCX's own variables, such as UCX_TLS, choose its ways."""

    kind: ClassVar[TransferKind] = "nixl"

    def __init__(self, host: str = "127.0.0.1", **limits: Any) -> None:
        super().__init__(host, **limits)
        self._claims = Claims(self.offers, host, self.stall_s, self._serve)
        self._agent = NixlAgent()
        self._reading: set[asyncio.Task[None]] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def address(self) -> str:
        return self._claims.address

    async def start(self) -> None:
        await self._agent.start()
        self._claims.open()

    async def _serve(self, channel: Channel, view: memoryview) -> None:
        """Until cancelled: the reader's last word ends it."""
        channel.wait_longer(self._limit_s(view.nbytes))
        if not view.nbytes:
            await channel.send_frame(Region())
            return
        try:
            published = await self._agent.publish(view)
        except TransferFailed as error:
            await channel.send_frame(Error(0, error.code, str(error)))
            raise
        try:
            await channel.send_frame(Region(published.metadata, published.descriptors))
            channel.wait_longer(self._limit_s(view.nbytes))
            pauses = Pauses()
            while True:
                await self._agent.advance()
                await pauses.sleep()
        finally:
            await asyncio.shield(self._agent.withdraw(published))

    async def _fetch(self, ticket: Ticket, into: memoryview) -> None:
        """NIXL cannot be stopped while it writes, so a cancelled fetch goes on to its end with nobody waiting."""
        task = asyncio.create_task(self._read(ticket, into))
        self._reading.add(task)
        task.add_done_callback(self._read_ended)
        await asyncio.shield(task)

    def _read_ended(self, task: asyncio.Task[None]) -> None:
        self._reading.discard(task)
        if not task.cancelled():
            task.exception()

    async def _read(self, ticket: Ticket, into: memoryview) -> None:
        async with self._alone_with(ticket), claimed(ticket, self.stall_s) as channel:
            channel.wait_longer(self._limit_s(ticket.size))
            region = await channel.receive_frame()
            if not isinstance(region, Region):
                raise TransferFailed(f"{ticket.address} does not offer by NIXL")
            if not ticket.size:
                return
            gone = asyncio.ensure_future(channel.last_word())
            try:
                await self._agent.read(region.metadata, region.descriptors, into, self._limit_s(ticket.size), gone)
            finally:
                gone.cancel()
                await asyncio.wait({gone})

    @asynccontextmanager
    async def _alone_with(self, ticket: Ticket) -> AsyncIterator[None]:
        """NIXL breaks off what it reads from a peer when it is told anew, or no more, how to reach that peer."""
        lock = self._locks.setdefault(ticket.address, asyncio.Lock())
        try:
            await within(self._limit_s(ticket.size), lock.acquire())
        except asyncio.TimeoutError:
            raise TransferFailed(f"other fetches from {ticket.address} take too long") from None
        try:
            yield
        finally:
            lock.release()

    def _limit_s(self, size: int) -> float:
        return self.stall_s + size / SLOWEST_BYTES_PER_S

    async def close(self) -> None:
        await self._claims.close()
        if self._reading:
            await asyncio.wait(self._reading)
        self.offers.clear()
        await self._agent.close()

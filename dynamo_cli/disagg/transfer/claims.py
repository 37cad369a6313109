"""Who may fetch: the holder of a ticket proves that it knows the ticket's key, which is never sent."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from dynamo_cli.disagg.transfer.base import Ticket
from dynamo_cli.disagg.transfer.channel import GIVEN_UP, TAKEN, Channel, Claim
from dynamo_cli.disagg.transfer.offers import Offer, Offers
from dynamo_cli.errors import CannotConnect, ResourceMissing, TransferFailed
from dynamo_cli.runtime.links.auth import HANDSHAKE_S, is_genuine, new_hello, prove, welcome
from dynamo_cli.runtime.links.frames import Error, Hello, Welcome
from dynamo_cli.runtime.links.link import host_and_port
from dynamo_cli.runtime.links.server import reachable
from dynamo_cli.runtime.within import within

_log = logging.getLogger(__name__)
CONNECT_S = 3.0
BACKLOG = 128
MOST_UNPROVED = 64
RETRY_S = 0.1
Serve = Callable[[Channel, memoryview], Awaitable[None]]


class Claims:
    """Listens for claims on `offers`; `serve` hands out the bytes of each that is proved."""

    def __init__(self, offers: Offers, host: str, stall_s: float, serve: Serve) -> None:
        self._offers = offers
        self._host = host
        self._stall_s = stall_s
        self._serve = serve
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._claims: set[asyncio.Task[None]] = set()
        self._unproved = 0
        self.address = ""

    def open(self) -> None:
        """ResourceMissing when the address cannot be bound, or others could not be told of it."""
        host = reachable(self._host)
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            self._listening = socket.create_server((self._host, 0), family=family, backlog=BACKLOG)
        except OSError as error:
            raise ResourceMissing(f"cannot listen on {self._host}: {error.strerror or error}") from None
        self._listening.setblocking(False)
        port = self._listening.getsockname()[1]
        self.address = f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
        self._accepting = asyncio.create_task(self._accept(self._listening))

    async def close(self) -> None:
        """End the claims that run. Idempotent."""
        tasks = [*self._claims, *([self._accepting] if self._accepting else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:  # such as no descriptor left
                _log.warning("cannot accept a connection that fetches KV: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            connection.setblocking(False)
            if self._unproved >= MOST_UNPROVED:
                connection.close()
                continue
            task = asyncio.create_task(self._claim(connection))
            self._claims.add(task)
            task.add_done_callback(self._claims.discard)

    async def _claim(self, connection: socket.socket) -> None:
        async with Channel(connection, self._stall_s) as channel:
            try:
                await self._answer(channel)
            except TransferFailed as error:
                _log.info("KV was not fetched: %s", error)

    async def _answer(self, channel: Channel) -> None:
        hello, claim = await self._heard(channel)
        offer = self._offers.find(claim.offer)
        answer = welcome(offer.key, hello, claim.proof) if offer and claim.proof.purpose == "transfer" else None
        if offer is None or answer is None:
            self._offers.counts.refused += 1
            why = "this KV is not offered any more" if offer is None else "the ticket was not accepted"
            await channel.send_frame(Error(0, TransferFailed.code, why))
            return
        with self._offers.reading(offer) as view:
            await channel.send_frame(answer)
            await self._hand_out(channel, offer, view)

    async def _heard(self, channel: Channel) -> tuple[Hello, Claim]:
        self._unproved += 1
        try:
            hello = new_hello()
            await channel.send_frame(hello)
            claim = await within(HANDSHAKE_S, channel.receive_frame())
        except asyncio.TimeoutError:
            raise TransferFailed("no proof of a ticket in time") from None
        finally:
            self._unproved -= 1
        if not isinstance(claim, Claim):
            raise TransferFailed("the peer proves no ticket")
        return hello, claim

    async def _hand_out(self, channel: Channel, offer: Offer, view: memoryview) -> None:
        """Until the fetching side has had its last word."""
        word = asyncio.ensure_future(channel.last_word())
        serving = asyncio.ensure_future(self._serve(channel, view))
        try:
            await asyncio.wait({word, serving}, return_when=asyncio.FIRST_COMPLETED)
            last = await word  # also when serving broke: a connection that was reset still has it
            if last == TAKEN:
                self._offers.sent(offer)
            elif last == GIVEN_UP:
                self._offers.release(offer.id)
            elif serving.done():
                serving.result()
        finally:
            await _end(word, serving)


async def _end(*futures: asyncio.Future[Any]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.wait(futures)
    for future in futures:
        if not future.cancelled():
            future.exception()


@asynccontextmanager
async def claimed(ticket: Ticket, stall_s: float) -> AsyncIterator[Channel]:
    """A channel to the offer, proved from both sides; what is said at its end follows from how the block ends.

    Raises TransferFailed.
    """
    async with await _connect(ticket, stall_s) as channel:
        try:
            await _prove(channel, ticket)
            yield channel
        except asyncio.CancelledError:
            channel.say(GIVEN_UP)
            raise
        channel.say(TAKEN)


async def _connect(ticket: Ticket, stall_s: float) -> Channel:
    connection: socket.socket | None = None
    try:
        host, port = host_and_port(ticket.address)
        connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        await within(CONNECT_S, asyncio.get_running_loop().sock_connect(connection, (host, port)))
        return Channel(connection, stall_s)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, asyncio.TimeoutError):
            raise TransferFailed(f"{ticket.address} does not answer") from None
        if isinstance(error, OSError | CannotConnect):
            raise TransferFailed(f"cannot connect to {ticket.address}: {error}") from None
        raise


async def _prove(channel: Channel, ticket: Ticket) -> None:
    try:
        key = bytes.fromhex(ticket.key)
    except ValueError:
        raise TransferFailed("the ticket's key is not hexadecimal") from None
    hello = await channel.receive_frame()
    if not isinstance(hello, Hello):
        raise TransferFailed(f"{ticket.address} does not speak the language of transfers")
    proof = prove(key, hello, "transfer")
    await channel.send_frame(Claim(ticket.offer, proof))
    answer = await channel.receive_frame()
    if not (isinstance(answer, Welcome) and is_genuine(key, hello, proof, answer)):
        raise TransferFailed(f"{ticket.address} does not know the ticket")

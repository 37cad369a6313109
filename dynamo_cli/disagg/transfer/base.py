"""What every way to move bytes between two workers promises."""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import msgspec

from dynamo_cli.disagg.transfer.offers import Counts, Offer, Offers
from dynamo_cli.errors import TransferFailed

TransferKind = Literal["tcp", "nixl"]
Memory = bytes | bytearray | memoryview | mmap.mmap

EXPIRY_S = 30.0
"""How long an offer waits for whoever fetches it."""
STALL_S = 10.0
"""A fetch in which nothing has moved for so long has failed."""
MOST_HELD_BYTES = 4 << 30
"""Offers hold no more memory than this: further ones are refused."""


class Ticket(msgspec.Struct, frozen=True):
    """What the fetching side has to know; plain data (`msgspec.to_builtins`), so that it can travel in a Handover.

    `address`: tcp://HOST:PORT of the offering worker. `key` in hexadecimal proves that one holds the ticket: it is a
    secret. `size` in bytes.
    """

    transfer: TransferKind
    address: str
    offer: str
    key: str
    size: int


def read_ticket(data: Any) -> Ticket:
    """The ticket in plain data; raises TransferFailed when it is none."""
    try:
        return msgspec.convert(data, Ticket)
    except msgspec.ValidationError as error:
        raise TransferFailed(f"the hand-over has no ticket to fetch its KV with: {error}") from None


class Transfer(ABC):
    """Offers bytes of this process to others and fetches theirs. Used from one event loop.

    What is offered stays in memory until it has been fetched, is released, or has waited for `expiry_s`.
    """

    kind: ClassVar[TransferKind]

    def __init__(
        self,
        host: str = "127.0.0.1",
        *,
        expiry_s: float = EXPIRY_S,
        stall_s: float = STALL_S,
        most_held_bytes: int = MOST_HELD_BYTES,
    ) -> None:
        self.host = host
        self.stall_s = stall_s
        self.offers = Offers(expiry_s, most_held_bytes)

    @property
    def counts(self) -> Counts:
        return self.offers.counts

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it listens, tcp://HOST:PORT."""

    @abstractmethod
    async def start(self) -> None:
        """Listen. Raises ResourceMissing when `host` cannot be bound, EngineMissing when a package is missing."""

    def offer(self, data: Memory) -> Ticket:
        """Let whoever holds the ticket fetch `data`, which must not change meanwhile.

        Raises Overloaded when too much waits to be fetched already.
        """
        offer: Offer = self.offers.add(data)
        return Ticket(self.kind, self.address, offer.id, offer.key.hex(), offer.size)

    def release(self, ticket: Ticket) -> None:
        """Nobody will fetch it: free it, at the end of a fetch that runs. Idempotent."""
        self.offers.release(ticket.offer)

    async def fetch(self, ticket: Ticket, into: bytearray | memoryview | mmap.mmap | None = None) -> memoryview:
        """The offered bytes, in `into` of exactly `ticket.size` bytes when it is given; the offer is freed then.

        Raises TransferFailed when they cannot be had: the ticket is unknown, expired or forged, the offering worker is
        gone or silent, or it offers by other means. Then, and when the fetch is cancelled, `into` may hold anything.
        A cancelled fetch frees the offer, one that failed leaves it to be fetched again until it expires.
        """
        if ticket.transfer != self.kind:
            raise TransferFailed(
                f"the KV is offered by {ticket.transfer} and this worker fetches by {self.kind}: "
                "give both workers the same option `transfer`"
            )
        view = memoryview(bytearray(ticket.size) if into is None else into)
        if view.nbytes != ticket.size:
            raise ValueError(f"{ticket.size} bytes do not fit in {view.nbytes}")
        try:
            await self._fetch(ticket, view)
        except TransferFailed:
            self.counts.failed += 1
            raise
        self.counts.fetched += 1
        self.counts.fetched_bytes += ticket.size
        return view

    @abstractmethod
    async def _fetch(self, ticket: Ticket, into: memoryview) -> None: ...

    @abstractmethod
    async def close(self) -> None:
        """Free every offer and end the fetches that run. Idempotent, also after a failed start."""

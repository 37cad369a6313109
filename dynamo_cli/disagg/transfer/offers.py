"""What one side holds for others to fetch, each for a limited time."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dynamo_cli.errors import Overloaded


@dataclass
class Counts:
    """Of one process since its start: `held` and `held_bytes` are those offered now, `sent` those that were fetched.

    `refused`: claims without a valid ticket. `failed`: fetches of its own.
    """

    offered: int = 0
    offered_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    expired: int = 0
    refused: int = 0
    held: int = 0
    held_bytes: int = 0
    fetched: int = 0
    fetched_bytes: int = 0
    failed: int = 0


class Offer:
    """`view` is None once it is freed. `over`: nobody may begin to fetch it any more."""

    __slots__ = ("expiry", "id", "key", "over", "readers", "size", "view")

    def __init__(self, view: memoryview) -> None:
        self.id = secrets.token_hex(8)
        self.key = secrets.token_bytes(32)
        self.view: memoryview | None = view
        self.size = view.nbytes
        self.readers = 0
        self.over = False
        self.expiry: asyncio.TimerHandle | None = None


class Offers:
    def __init__(self, expiry_s: float, most_held_bytes: int) -> None:
        self.counts = Counts()
        self.expiry_s = expiry_s
        self._most_held_bytes = most_held_bytes
        self._by_id: dict[str, Offer] = {}

    def add(self, data: object) -> Offer:
        """Raises Overloaded over the limit; a single offer is taken whatever its size."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        if self._by_id and self.counts.held_bytes + view.nbytes > self._most_held_bytes:
            raise Overloaded(f"{len(self._by_id)} prompts of {self.counts.held_bytes} bytes of KV wait to be fetched")
        offer = Offer(view)
        self._by_id[offer.id] = offer
        offer.expiry = asyncio.get_running_loop().call_later(self.expiry_s, self._expire, offer)
        self.counts.offered += 1
        self.counts.offered_bytes += offer.size
        self.counts.held += 1
        self.counts.held_bytes += offer.size
        return offer

    def __iter__(self) -> Iterator[Offer]:
        return iter(list(self._by_id.values()))

    def find(self, offer_id: str) -> Offer | None:
        offer = self._by_id.get(offer_id)
        return None if offer is None or offer.over else offer

    @contextmanager
    def reading(self, offer: Offer) -> Iterator[memoryview]:
        """The offer's memory, which stays there until the end of the block."""
        assert offer.view is not None
        offer.readers += 1
        try:
            yield offer.view
        finally:
            offer.readers -= 1
            if offer.over and not offer.readers:
                self._free(offer)

    def sent(self, offer: Offer) -> None:
        """It has been fetched."""
        self.counts.sent += 1
        self.counts.sent_bytes += offer.size
        self._end(offer)

    def release(self, offer_id: str) -> None:
        offer = self._by_id.get(offer_id)
        if offer is not None:
            self._end(offer)

    def clear(self) -> None:
        for offer in self:
            self._end(offer)

    def _expire(self, offer: Offer) -> None:
        if not offer.over:
            self.counts.expired += 1
            self._end(offer)

    def _end(self, offer: Offer) -> None:
        offer.over = True
        if offer.expiry is not None:
            offer.expiry.cancel()
        if not offer.readers:
            self._free(offer)

    def _free(self, offer: Offer) -> None:
        if self._by_id.pop(offer.id, None) is not None:
            offer.view = None
            self.counts.held -= 1
            self.counts.held_bytes -= offer.size

"""How loaded each worker is now: what it said last, brought up to date with what was sent to it since.

A worker reports about once a second; a burst within that second is seen here at once. All is counted once: what a
request adds it takes away again, in whatever order its first token, its end or its move to another worker come.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import ClassVar, NamedTuple

from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.router.weighed import Weighed


class Tally:
    """An amount that somebody else reports now and then.

    `since`: added here since the last report and still there; `gone`: part of that report and taken away since;
    `held`: all that was added here and is still there.
    """

    __slots__ = ("gone", "held", "reported", "since")

    def __init__(self) -> None:
        self.reported = 0
        self.since = 0
        self.gone = 0
        self.held = 0

    @property
    def value(self) -> int:
        return max(0, self.reported - self.gone) + self.since

    def add(self, amount: int) -> None:
        self.held += amount
        self.since += amount

    def take(self, amount: int, reported: bool) -> None:
        """Take away what was added; `reported`: there was a report between."""
        self.held -= amount
        if reported:
            self.gone += amount
        else:
            self.since -= amount

    def report(self, amount: int) -> None:
        self.reported = amount
        self.since = self.gone = 0


class WorkerBook:
    """One worker's tallies, and how often it has reported: before the first time they hold what was sent from here.

    `total_blocks` is what it said it has, 0 is unknown.
    """

    __slots__ = ("blocks", "prefill_tokens", "reports", "total_blocks")

    def __init__(self) -> None:
        self.prefill_tokens = Tally()
        self.blocks = Tally()
        self.reports = 0
        self.total_blocks = 0

    def report(self, load: WorkerLoad) -> None:
        self.reports += 1
        self.total_blocks = load.total_blocks
        self.prefill_tokens.report(load.active_prefill_tokens)
        self.blocks.report(load.active_decode_blocks)


class Booking:
    """What one request occupies at a worker, until it is `answered` (its first token) and `over`; both idempotent."""

    __slots__ = ("_blocks", "_book", "_reports", "_tokens")
    kv_hit_rate: ClassVar[float | None] = None
    weighed: ClassVar[Weighed | None] = None

    def __init__(self, book: WorkerBook, tokens: int, blocks: int) -> None:
        self._book = book
        self._tokens = tokens
        self._blocks = blocks
        self._reports = book.reports
        book.prefill_tokens.add(tokens)
        book.blocks.add(blocks)

    def answered(self) -> None:
        if self._tokens:
            self._book.prefill_tokens.take(self._tokens, self._book.reports != self._reports)
            self._tokens = 0

    def heard(self, tokens: int) -> bool:
        """A frame of the answer has come, after `tokens` others; the next ones need not be told."""
        self.answered()
        return False

    def over(self) -> None:
        self.answered()
        if self._blocks:
            self._book.blocks.take(self._blocks, self._book.reports != self._reports)
            self._blocks = 0


class LoadNow(NamedTuple):
    """As in WorkerLoad."""

    active_decode_blocks: int = 0
    active_prefill_tokens: int = 0


IDLE = LoadNow()


class Loads:
    """The workers' books by instance id."""

    def __init__(self) -> None:
        self._books: dict[int, WorkerBook] = {}

    def __contains__(self, worker: int) -> bool:
        return worker in self._books

    def book(self, worker: int, tokens: int, block_size: int, computes: int | None = None) -> Booking:
        """A request with so many prompt tokens goes there, of which it `computes` so many (None: all).

        `block_size` in tokens, 0 is unknown.
        """
        book = self._books.get(worker)
        if book is None:
            book = self._books[worker] = WorkerBook()
        blocks = -(-tokens // block_size) if block_size else 0
        return Booking(book, tokens if computes is None else computes, blocks)

    def report(self, worker: int, load: WorkerLoad) -> None:
        self._books.setdefault(worker, WorkerBook()).report(load)

    def of(self, worker: int) -> LoadNow:
        book = self._books.get(worker)
        return IDLE if book is None else LoadNow(book.blocks.value, book.prefill_tokens.value)

    def total_blocks(self, worker: int) -> int:
        """KV blocks it says it has; 0 is unknown."""
        book = self._books.get(worker)
        return 0 if book is None else book.total_blocks

    def known(self) -> Mapping[int, LoadNow]:
        """Of the workers that report it."""
        return {worker: self.of(worker) for worker, book in self._books.items() if book.reports}

    def keep(self, workers: Set[int]) -> None:
        """Forget all others. Their requests' bookings live on unseen."""
        for worker in self._books.keys() - workers:
            del self._books[worker]

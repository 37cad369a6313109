"""The last requests of this process, for whoever asks how one of them went."""

from __future__ import annotations

import argparse
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from time import time
from typing import NamedTuple

from dynamo_cli.errors import UsageError
from dynamo_cli.frontend.formats import Usage
from dynamo_cli.frontend.record import Record, status_of
from dynamo_cli.routing.legs import Leg
from dynamo_cli.runtime.http.exchange import Exchange

DEFAULT_KEPT, MOST_KEPT = 2000, 1_000_000
_FLAG, _VARIABLE = "--explain-requests", "DYN_EXPLAIN_REQUESTS"


class Entry(NamedTuple):
    """A request that is over, or runs (`status` 0). `at`: now or its end, in seconds since the epoch."""

    at: float
    id: str
    answer_id: str
    kind: str
    model: str
    streamed: bool
    status: int
    usage: Usage | None
    began: float
    first_token_s: float | None
    duration_s: float
    finish: str
    problem: str
    legs: list[tuple[Leg, ...]]

    def is_named(self, name: str) -> bool:
        """By the client's id or the answer's, or by one that the answer's begins: that of a single choice."""
        own = self.answer_id
        return name in (self.id, own) or (bool(own) and name.startswith(f"{own}-"))

    def begins_with(self, text: str) -> bool:
        return self.id.startswith(text) or self.answer_id.startswith(text)


class Memory:
    """Holds the last `kept` requests; `running`: the exchanges that are not over. `ended` is a listener of a Journal.

    Nothing is worded here, and neither prompts nor answers are kept.
    """

    def __init__(self, kept: int, running: Callable[[], Iterable[Exchange]]) -> None:
        self.kept = kept
        self._over: deque[Entry] = deque(maxlen=kept)
        self._running = running

    def __len__(self) -> int:
        return len(self._over)

    @property
    def since(self) -> float | None:
        """When the oldest one ended, in seconds since the epoch."""
        return self._over[0].at if self._over else None

    def ended(self, exchange: Exchange, record: Record | None) -> None:
        if record is not None and not exchange.request.trusted:
            self._over.append(_entry(exchange, record, status_of(exchange)))

    def latest(self, most: int) -> list[Entry]:
        """The newest first; those that run before all others."""
        return list(islice(self._all(), most))

    def find(self, name: str, most: int) -> list[Entry]:
        """Those of this name, else those whose ids begin with it; the newest first."""
        if not name:
            return []
        named = [entry for entry in self._all() if entry.is_named(name)]
        return (named or [entry for entry in self._all() if entry.begins_with(name)])[:most]

    def _all(self) -> Iterator[Entry]:
        for exchange in self._running():
            if isinstance(exchange.about, Record) and not exchange.request.trusted:
                yield _entry(exchange, exchange.about, 0)
        yield from reversed(self._over)


def _entry(exchange: Exchange, record: Record, status: int) -> Entry:
    return Entry(
        time(),
        record.trail.request_id,
        record.answer_id,
        record.kind,
        "" if record.model is None else record.model.name,
        record.streamed,
        status,
        record.usage,
        record.began,
        record.first_token_s,
        record.duration_s,
        record.finish,
        record.problem,
        [choice.legs for choice in record.choices],
    )


def add_memory_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        _FLAG,
        metavar="N",
        help=f"requests to remember for `dynamo explain` ({_VARIABLE}; default {DEFAULT_KEPT}; 0: none)",
    )


def kept_requests(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Raises UsageError."""
    given = arguments.explain_requests
    place, text = (_VARIABLE, environ.get(_VARIABLE)) if given is None else (_FLAG, given)
    if not text:
        return DEFAULT_KEPT
    if not text.isdecimal() or int(text) > MOST_KEPT:
        raise UsageError(f"{place} {text!r}: want a whole number from 0 to {MOST_KEPT}")
    return int(text)

"""A trace as conversations of one turn: each request's lengths and shared prefixes, in words of our own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from dynamo_cli.bench.traces.read import read_trace
from dynamo_cli.bench.traces.request import TracedRequest
from dynamo_cli.bench.work.conversation import Conversation, Turn
from dynamo_cli.bench.work.prompts import parts, words

CACHED_BLOCKS = 4096


@dataclass(frozen=True)
class Trace:
    """The requests of `path` from `start_s` to before `end_s` of its time, `speed` times as fast.

    The first is due at 0 unless `start_s` is given: then what comes at `start_s` is. It is read anew for each use;
    `notes` are of the last one.
    """

    path: Path
    speed: float = 1.0
    start_s: float | None = None
    end_s: float | None = None
    seed: int = 0
    notes: list[str] = field(default_factory=list, compare=False, repr=False)

    def count(self) -> int:
        """The requests in the window. Raises UsageError naming file and line of the first broken one."""
        return sum(1 for _ in self._window())

    def conversations(self) -> Iterator[Conversation]:
        """Raises UsageError like `count`."""
        origin = self.start_s
        for number, request in enumerate(self._window()):
            origin = request.timestamp_s if origin is None else origin
            turn = Turn(_prompt(self.seed, number, request), max(1, request.output_length))
            yield Conversation(number, iter([turn]), due_s=(request.timestamp_s - origin) / self.speed)

    def _window(self) -> Iterator[TracedRequest]:
        self.notes.clear()
        for request in read_trace(self.path, self.notes):
            if self.end_s is not None and request.timestamp_s >= self.end_s:
                return
            if request.timestamp_s >= (self.start_s or 0.0):
                yield request


def _prompt(seed: int, number: int, request: TracedRequest) -> Iterator[str]:
    """The blocks' texts; what no block stands for is unique."""
    left, size = request.input_length, request.block_size
    for block in request.blocks:
        text = _block(seed, block, size)
        yield text if left >= size else " ".join(text.split(" ", left)[:left])
        left -= size
    if left > 0:
        yield from parts(random.Random(f"{seed} request {number}"), left)


@lru_cache(CACHED_BLOCKS)
def _block(seed: int, block: int, size: int) -> str:
    return words(random.Random(f"{seed} block {block}"), size)

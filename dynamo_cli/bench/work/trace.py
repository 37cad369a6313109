"""Traces of real traffic in the Mooncake format, one request a line, read anew for each use and never held whole.

    {"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 48]}

`timestamp` is in milliseconds. Each hash id stands for 512 tokens of the prompt: equal ids are equal text.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec

from dynamo_cli.bench.work.conversation import Conversation, Turn
from dynamo_cli.bench.work.prompts import parts, words
from dynamo_cli.errors import UsageError

BLOCK_TOKENS = 512
CACHED_BLOCKS = 4096


class Line(msgspec.Struct):
    timestamp: float
    input_length: int
    output_length: int
    hash_ids: list[int] = []


@dataclass(frozen=True)
class Trace:
    """The requests of `file` from `start_s` to before `end_s` of its time, `speed` times as fast.

    The first is due at 0 unless `start_s` is given: then what comes at `start_s` is.
    """

    file: Path
    speed: float = 1.0
    start_s: float | None = None
    end_s: float | None = None
    seed: int = 0

    def count(self) -> int:
        """The requests in the window. Raises UsageError naming file and line of the first broken one."""
        return sum(1 for _ in self._window())

    def conversations(self) -> Iterator[Conversation]:
        """Raises UsageError like `count`."""
        origin: float | None = None if self.start_s is None else self.start_s * 1e3
        for number, line in enumerate(self._window()):
            origin = line.timestamp if origin is None else origin
            turn = Turn(_prompt(self.seed, number, line), max(1, line.output_length))
            yield Conversation(number, iter([turn]), due_s=(line.timestamp - origin) / 1e3 / self.speed)

    def _window(self) -> Iterator[Line]:
        start = 0.0 if self.start_s is None else self.start_s * 1e3
        for line in self._lines():
            if self.end_s is not None and line.timestamp >= self.end_s * 1e3:
                return
            if line.timestamp >= start:
                yield line

    def _lines(self) -> Iterator[Line]:
        try:
            with self.file.open("rb") as lines:
                yield from _checked(self.file, lines)
        except OSError as error:
            raise UsageError(f"--trace {self.file}: {error.strerror}") from None


def _checked(file: Path, lines: Iterable[bytes]) -> Iterator[Line]:
    decoder = msgspec.json.Decoder(Line)
    latest = 0.0
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            line = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{file}:{number}: {error}") from None
        if fault := _fault(line, latest):
            raise UsageError(f"{file}:{number}: {fault}")
        latest = line.timestamp
        yield line


def _fault(line: Line, latest: float) -> str:
    if line.timestamp < latest:
        return f"timestamp {line.timestamp:g} is before that of an earlier line, {latest:g}"
    if line.input_length < 1:
        return f"input_length {line.input_length} is not at least 1"
    if line.output_length < 0:
        return f"output_length {line.output_length} is negative"
    if (len(line.hash_ids) - 1) * BLOCK_TOKENS >= line.input_length:
        return f"{len(line.hash_ids)} hash_ids of {BLOCK_TOKENS} tokens are more than input_length {line.input_length}"
    return ""


def _prompt(seed: int, number: int, line: Line) -> Iterator[str]:
    """The blocks' texts; what no hash id stands for is unique."""
    left = line.input_length
    for block in line.hash_ids:
        text = _block(seed, block)
        yield text if left >= BLOCK_TOKENS else " ".join(text.split(" ", left)[:left])
        left -= BLOCK_TOKENS
    if left > 0:
        yield from parts(random.Random(f"{seed} request {number}"), left)


@lru_cache(CACHED_BLOCKS)
def _block(seed: int, block: int) -> str:
    return words(random.Random(f"{seed} block {block}"), BLOCK_TOKENS)

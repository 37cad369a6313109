"""llama.cpp sends no token until the text so far is whole characters, and then only the last one's id.

The ids it swallowed are found again from the text's bytes, their number, and the last of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from dynamo_cli.workers.engines.vocabulary import by_bytes, read_pieces

_LONGEST_TEXT = 64


class HeldBack:
    """`tokenizer`: the model's tokenizer.json, read when it is first needed."""

    def __init__(self, tokenizer: Path) -> None:
        self._tokenizer = tokenizer
        self._ids: dict[bytes, int] | None = None
        self.tokens = lru_cache(maxsize=4096)(self._tokens)

    def _tokens(self, text: str, count: int, last: int) -> tuple[int, ...]:
        """The `count` ids behind `text`, of which the last is known.

        Where several would do, those with the longest pieces first: what tokenizers mostly choose. Only the last one
        when the text cannot be spelled so, as with bytes that are no text.
        """
        data = text.encode()
        if len(data) > _LONGEST_TEXT:
            return (last,)
        if self._ids is None:
            self._ids = by_bytes(read_pieces(self._tokenizer))
        return next((found for found in _spellings(data, count, self._ids) if found[-1] == last), (last,))


def _spellings(data: bytes, count: int, ids: dict[bytes, int]) -> Iterator[tuple[int, ...]]:
    if count == 1:
        if data in ids:
            yield (ids[data],)
        return
    for size in range(len(data) - count + 1, 0, -1):
        first = ids.get(data[:size])
        if first is not None:
            for rest in _spellings(data[size:], count - 1, ids):
                yield (first, *rest)

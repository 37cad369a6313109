"""Remembers the ids of long stretches of text between special tokens: system prompts and earlier turns come again.

No token reaches across a special token, so a stretch has the same ids wherever it stands.
"""

from __future__ import annotations

import json
import re
import sys
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock

from tokenizers import Tokenizer as Core

SHORTEST = 512
"""Letters from which remembering a stretch is cheaper than tokenizing it."""


class SegmentCache:
    """`encode` tokenizes without adding BOS or EOS. The least recently used stretches go beyond `max_bytes`."""

    def __init__(self, encode: Callable[[str], list[int]], special: re.Pattern[str], max_bytes: int) -> None:
        self._encode = encode
        self._special = special
        self._max_bytes = max_bytes
        self._bytes = 0
        self._ids: OrderedDict[str, array[int]] = OrderedDict()
        self._lock = Lock()

    @property
    def size(self) -> int:
        """In bytes."""
        return self._bytes

    def encode(self, text: str) -> list[int]:
        """The same ids as without the cache."""
        if len(text) < SHORTEST:
            return self._encode(text)
        ids: list[int] = []
        done = 0
        for start, end in self._stretches(text):
            if start > done:
                ids += self._encode(text[done:start])
            ids += self._stretch(text[start:end])
            done = end
        if done < len(text):
            ids += self._encode(text[done:])
        return ids

    def _stretches(self, text: str) -> Iterator[tuple[int, int]]:
        start = 0
        for token in self._special.finditer(text):
            if token.start() - start >= SHORTEST:
                yield start, token.start()
            start = token.end()
        if len(text) - start >= SHORTEST:
            yield start, len(text)

    def _stretch(self, text: str) -> array[int] | list[int]:
        with self._lock:
            known = self._ids.get(text)
            if known is not None:
                self._ids.move_to_end(text)
                return known
        ids = self._encode(text)
        self._remember(text, array("i", ids))
        return ids

    def _remember(self, text: str, ids: array[int]) -> None:
        with self._lock:
            if text in self._ids or _weight(text, ids) > self._max_bytes:
                return
            self._ids[text] = ids
            self._bytes += _weight(text, ids)
            while self._bytes > self._max_bytes:
                self._bytes -= _weight(*self._ids.popitem(last=False))


def _weight(text: str, ids: array[int]) -> int:
    return sys.getsizeof(text) + sys.getsizeof(ids)


def special_pattern(core: Core) -> re.Pattern[str] | None:
    """Finds what the tokenizer splits off as special; None when text beside it does not stand for itself."""
    if _looks_around(core):
        return None
    added = core.get_added_tokens_decoder().values()
    if any(token.lstrip or token.rstrip or token.single_word or token.normalized for token in added):
        return None
    longest_first = sorted((token.content for token in added if token.content), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) if longest_first else r"(?!)")


def _looks_around(core: Core) -> bool:
    """Whether the ids of a stretch depend on its being the first one."""
    steps = [json.loads(part.__getstate__()) for part in (core.normalizer, core.pre_tokenizer) if part is not None]
    names = {step["type"] for step in steps}
    for step in steps:
        names |= {inner["type"] for inner in step.get("normalizers", step.get("pretokenizers", ()))}
    return not names <= {"Sequence", "Split", "ByteLevel", "Digits", "Replace", "Prepend", "NFC", "NFKC", "NFD", "NFKD"}

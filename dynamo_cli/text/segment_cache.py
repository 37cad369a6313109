"""Remembers the ids of long stretches of text between special tokens: system prompts and earlier turns come again.

No token reaches across a special token, so a stretch has the same ids wherever it stands.
"""

from __future__ import annotations

import json
import re
import sys
from array import array
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from tokenizers import Tokenizer as Core

SHORTEST = 512
"""Letters from which remembering a stretch is cheaper than tokenizing it."""


class CacheCounts:
    """Long stretches that were known (`hits`) and not (`misses`), and the tokens of both."""

    __slots__ = ("cached_tokens", "hits", "misses", "uncached_tokens")

    def __init__(self) -> None:
        self.hits = self.misses = self.cached_tokens = self.uncached_tokens = 0


class SegmentCache:
    """The ids of a text, stretch by stretch; the least recently used ones go when they exceed `max_bytes`.

    `encode_stretch` takes texts without special tokens.
    """

    def __init__(self, encode_stretch: Callable[[str], list[int]], special: dict[str, int], max_bytes: int) -> None:
        self._encode_stretch = encode_stretch
        self._special = special
        longest_first = sorted(special, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._max_bytes = max_bytes
        self.counts = CacheCounts()
        self._bytes = 0
        self._ids: OrderedDict[str, array[int]] = OrderedDict()
        self._lock = Lock()

    @property
    def size(self) -> int:
        """In bytes."""
        return self._bytes

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        done = 0
        for token in self._pattern.finditer(text):
            start = token.start()
            if start > done:
                ids += self._stretch(text[done:start])
            ids.append(self._special[token[0]])
            done = token.end()
        if done < len(text):
            ids += self._stretch(text[done:])
        return ids

    def _stretch(self, text: str) -> array[int] | list[int]:
        if len(text) < SHORTEST:
            return self._encode_stretch(text)
        with self._lock:
            known = self._ids.get(text)
            if known is not None:
                self._ids.move_to_end(text)
                self.counts.hits += 1
                self.counts.cached_tokens += len(known)
                return known
        ids = self._encode_stretch(text)
        self.counts.misses += 1
        self.counts.uncached_tokens += len(ids)
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


def special_tokens(core: Core) -> dict[str, int] | None:
    """What the tokenizer splits off as special, with its id; None when text beside it does not stand for itself."""
    if _looks_around(core):
        return None
    added = core.get_added_tokens_decoder()
    if any(token.lstrip or token.rstrip or token.single_word or token.normalized for token in added.values()):
        return None
    return {token.content: number for number, token in added.items() if token.content}


def _looks_around(core: Core) -> bool:
    """Whether the ids of a stretch depend on its being the first one."""
    steps = [json.loads(part.__getstate__()) for part in (core.normalizer, core.pre_tokenizer) if part is not None]
    names = {step["type"] for step in steps}
    for step in steps:
        names |= {inner["type"] for inner in step.get("normalizers", step.get("pretokenizers", ()))}
    return not names <= {"Sequence", "Split", "ByteLevel", "Digits", "Replace", "Prepend", "NFC", "NFKC", "NFD", "NFKD"}

"""Remembers the ids of words, for tokenizers that cut a text into words first: four to six times faster on ASCII."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable
from itertools import chain, filterfalse, groupby
from typing import Any

from tokenizers import Tokenizer as Core

from dynamo_cli.text.pretokenizers import GPT2

MOST_WORDS = 16_384
LONGEST_WORD = 40

# What is left of the Unicode classes among the ASCII letters, written as inside [].
_CLASSES = {
    "L": "A-Za-z",
    "Lu": "A-Z",
    "Ll": "a-z",
    "Lt": "",
    "Lm": "",
    "Lo": "",
    "M": "",
    "N": "0-9",
    "P": r"!-#%-*,-/:;?@\[-\]_{}",
    "S": r"$+<=>\^`|~",
}
_TOKEN = re.compile(r"\\p\{(\w+)\}|\\.|&&|\[\^?|\]|(\((?!\?))|.", re.DOTALL)
_LINE_START = re.compile(r"(?<=\S\n)(?=[A-Za-z])")
# Single digits first and then the words of GPT-2, in one pattern.
_DIGITS_AND_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"


class WordMemory(dict[str, tuple[int, ...]]):
    """`encode` gives the ids of a text without special tokens, the same as `encode_now`."""

    def __init__(self, words: re.Pattern[str], encode_now: Callable[[str], list[int]]) -> None:
        super().__init__()
        self._words = words
        self._encode_now = encode_now
        self._cuts_lines = cuts_lines(words)

    def encode(self, text: str) -> list[int]:
        if text.isascii():
            return self._encode_ascii(text)
        if not self._cuts_lines:
            return self._encode_now(text)
        ids: list[int] = []
        for is_ascii, lines in groupby(_LINE_START.split(text), str.isascii):
            ids += (self._encode_ascii if is_ascii else self._encode_now)("".join(lines))
        return ids

    def _encode_ascii(self, text: str) -> list[int]:
        words = self._words.findall(text)
        if sum(map(len, words)) != len(text):
            return self._encode_now(text)
        unknown = list(filterfalse(self.__contains__, set(words)))
        if len(unknown) * 8 > len(words):
            # Too much is new: tokenize it whole, and learn so little of it that this costs next to nothing.
            for word in unknown[: len(words) // 16 + 4]:
                self[word]
            return self._encode_now(text)
        return list(chain.from_iterable(map(self.__getitem__, words)))

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = tuple(self._encode_now(word))
        if len(word) <= LONGEST_WORD:
            if len(self) >= MOST_WORDS:
                self.clear()
            self[word] = ids
        return ids


def word_pattern(core: Core) -> re.Pattern[str] | None:
    """How the tokenizer cuts an ASCII text, as one pattern of `re`; None when that is not known."""
    normalizer = json.loads(core.normalizer.__getstate__()) if core.normalizer is not None else {"type": "NFC"}
    if normalizer["type"] != "NFC" or core.pre_tokenizer is None:  # NFC leaves ASCII as it is
        return None
    whole = json.loads(core.pre_tokenizer.__getstate__())
    pattern = _pattern_of(whole.get("pretokenizers", [whole]))
    return None if pattern is None else ascii_pattern(pattern)


def cuts_lines(words: re.Pattern[str]) -> bool:
    """Whether a line that begins with a letter always begins a word, whatever non-space the line before ends with."""
    return all(
        words.findall(f"{before}{end}\n{letter}b") == words.findall(f"{before}{end}\n") + words.findall(f"{letter}b")
        for before in ("", "a", " ", "\n", "1", ".")
        for end in string.digits + string.ascii_letters + string.punctuation
        for letter in "aZ"
    )


def _pattern_of(steps: list[dict[str, Any]]) -> str | None:
    match steps:
        case [{"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]:
            return GPT2
        case [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        ]:
            return _DIGITS_AND_GPT2
        case [
            {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ]:
            return pattern
    return None


def ascii_pattern(pattern: str) -> re.Pattern[str] | None:
    """The same pattern for texts that are ASCII, without groups; None when it cannot be said in `re`."""
    inside, parts = False, []
    for token in _TOKEN.finditer(pattern):
        written, name = token[0], token[1]
        if name is not None:
            members = _CLASSES.get(name)
            if members is None or not (inside or members):
                return None
            written = members if inside else f"[{members}]"
        elif written == "&&":
            return None
        elif written.startswith("[") and inside:
            return None
        elif written.startswith("["):
            inside = True
        elif written == "]":
            inside = False
        elif token[2] and not inside:
            written = "(?:"
        parts.append(written)
    try:
        return re.compile("".join(parts), re.ASCII)
    except re.error:
        return None

"""Text -> token ids and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer as Core

from dynamo_cli.errors import InvalidRequest, ModelMissing
from dynamo_cli.text.lengths import most_letters
from dynamo_cli.text.pieces import Pieces, joining
from dynamo_cli.text.segment_cache import CacheCounts, SegmentCache, special_tokens
from dynamo_cli.text.words import WordMemory, word_pattern

CACHE_BYTES = 16 << 20
ORDINARY_LETTERS = 16
"""The vocabulary is looked through only for texts that have more letters a token: hardly any."""


class Tokenizer:
    """Special tokens written in a text are parsed as such, as chat templates need."""

    def __init__(self, core: Core, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.core = core
        core.no_truncation()
        core.no_padding()
        joins = joining(core)
        self.drops_first_space = joins is not None and joins[1]
        self._pieces = {} if joins is None else {skip: Pieces(core, joins[0], skip) for skip in (True, False)}
        self._before, self._after = self._around()
        special = special_tokens(core)
        self._encode, self.cache_counts = self._encode_now, CacheCounts()
        if special is not None and cache_bytes:
            cache = SegmentCache(self._encode_stretch(), special, cache_bytes)
            self._encode, self.cache_counts = cache.encode, cache.counts

    @classmethod
    def from_file(cls, path: Path) -> Tokenizer:
        """Raises ModelMissing when `path` is not a usable tokenizer.json."""
        try:
            return cls(Core.from_file(str(path)))
        except Exception as error:  # the library raises bare Exception
            raise ModelMissing(f"{path}: not a usable tokenizer: {error}") from error

    @property
    def vocab_size(self) -> int:
        return int(self.core.get_vocab_size())

    def exceeds(self, text: str, tokens: int) -> bool:
        """True when the text certainly has more than so many tokens; cheap, so False says nothing."""
        if len(text) <= tokens * ORDINARY_LETTERS or self._most_letters is None:
            return False
        return len(text) > tokens * self._most_letters

    @cached_property
    def _most_letters(self) -> int | None:
        return most_letters(self.core)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Raises InvalidRequest for a text that is not Unicode (a lone surrogate)."""
        try:
            ids = self._encode(text)
        except (UnicodeEncodeError, TypeError) as error:
            raise InvalidRequest("the text holds a lone surrogate: it is not Unicode") from error
        return self.surround(ids) if add_special_tokens else ids

    def encode_bare(self, text: str) -> list[int]:
        """Without the tokens that go around a text."""
        return self.encode(text, add_special_tokens=False)

    def surround(self, ids: list[int]) -> list[int]:
        """With the tokens that go around a text."""
        return [*self._before, *ids, *self._after]

    def decode(self, ids: list[int], *, skip_special_tokens: bool = True) -> str:
        from dynamo_cli.text.detokenizer import Detokenizer

        stream = Detokenizer(self, skip_special_tokens=skip_special_tokens)
        return stream.push(ids) + stream.flush()

    def decode_whole(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        """As the library decodes; `decode` shows more of a text that is not valid UTF-8 in places."""
        text: str = self.core.decode(ids, skip_special_tokens=skip_special_tokens)
        return text

    def pieces(self, skip_special_tokens: bool) -> Pieces | None:
        """Each token's bytes when decoding is no more than joining them, else None."""
        return self._pieces.get(skip_special_tokens)

    def token_bytes(self, number: int) -> bytes:
        """What one token stands for, a special one too; of a character of several tokens only its part."""
        pieces = self.pieces(False)
        return self.decode_whole([number], skip_special_tokens=False).encode() if pieces is None else pieces[number]

    def token_string(self, number: int) -> str | None:
        """As the vocabulary writes it."""
        token: str | None = self.core.id_to_token(number)
        return token

    def _encode_stretch(self) -> Callable[[str], list[int]]:
        """For texts without special tokens."""
        words = word_pattern(self.core)
        return self._encode_now if words is None else WordMemory(words, self._encode_now).encode

    def _encode_now(self, text: str) -> list[int]:
        ids: list[int] = self.core.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return ids

    def _around(self) -> tuple[list[int], list[int]]:
        """The ids that are put before and after every text."""
        bare = self._encode_now("a")
        whole: list[int] = self.core.encode("a").ids
        start = next(at for at in range(len(whole) + 1) if whole[at : at + len(bare)] == bare)
        return whole[:start], whole[start + len(bare) :]

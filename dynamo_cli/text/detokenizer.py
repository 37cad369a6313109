"""Token ids that arrive one by one -> text, never showing half a character."""

from __future__ import annotations

from codecs import utf_8_decode
from typing import Protocol

from dynamo_cli.text.pieces import Pieces
from dynamo_cli.text.tokenizer import Tokenizer

UNFINISHED = "\ufffd"


class _Stream(Protocol):
    def push(self, ids: list[int]) -> str: ...
    def flush(self) -> str: ...


class Detokenizer:
    """All that `push` and `flush` return, put together, is the decoded text, however the ids were cut."""

    __slots__ = ("flush", "push")

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = True) -> None:
        pieces = tokenizer.pieces(skip_special_tokens)
        stream: _Stream
        if pieces is None:
            stream = _Window(tokenizer, skip_special_tokens)
        else:
            stream = _Joining(pieces, tokenizer.drops_first_space)
        self.push = stream.push
        self.flush = stream.flush


class _Joining:
    __slots__ = ("_at_start", "_pending", "_pieces")

    def __init__(self, pieces: Pieces, drops_first_space: bool) -> None:
        self._pieces = pieces
        self._pending = b""
        self._at_start = drops_first_space

    def push(self, ids: list[int]) -> str:
        pieces = self._pieces
        data = pieces[ids[0]] if len(ids) == 1 else b"".join([pieces[number] for number in ids])
        if self._pending or self._at_start:
            return self._decode(data, False)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return self._decode(data, False)

    def flush(self) -> str:
        return self._decode(b"", True)

    def _decode(self, data: bytes, last: bool) -> str:
        data = self._pending + data
        text, used = utf_8_decode(data, "replace", last)
        self._pending = data[used:]
        if self._at_start and text:
            self._at_start = False
            return text.removeprefix(" ")
        return text


class _Window:
    """For any decoder: what the newest ids add to the text of the few before them."""

    LONGEST_HOLD = 16
    """Ids after which a replacement character is taken for what the model meant."""
    CONTEXT = 6

    __slots__ = ("_context", "_ids", "_skip", "_tokenizer")

    def __init__(self, tokenizer: Tokenizer, skip_special_tokens: bool) -> None:
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._context = 0  # so many of the ids are shown already
        self._ids: list[int] = []

    def push(self, ids: list[int]) -> str:
        self._ids += ids
        return self._show(hold=len(self._ids) - self._context < self.LONGEST_HOLD)

    def flush(self) -> str:
        return self._show(hold=False)

    def _show(self, hold: bool) -> str:
        shown = self._decode(self._ids[: self._context])
        text = self._decode(self._ids)
        if (hold and text.endswith(UNFINISHED)) or len(text) <= len(shown):
            return ""
        self._ids = self._ids[-self.CONTEXT :]
        self._context = len(self._ids)
        return text[len(shown) :]

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode_whole(ids, skip_special_tokens=self._skip)

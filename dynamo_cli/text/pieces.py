"""The bytes each token stands for, for the tokenizers whose decoding is nothing but joining them."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer as Core


def _byte_alphabet() -> dict[str, int]:
    """The letter byte-level BPE writes for each byte: itself where printable, else from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(rest)}


_ALPHABET = _byte_alphabet()


class Pieces(dict[int, bytes]):
    """Token id -> bytes, filled as tokens are met. Unknown ids are empty, as are special tokens when skipped."""

    def __init__(self, core: Core, byte_level: bool, skip_special_tokens: bool) -> None:
        super().__init__()
        self._core = core
        self._bytes_of = _byte_level if byte_level else _byte_fallback
        added = core.get_added_tokens_decoder() if skip_special_tokens else {}
        self.update((number, b"") for number, token in added.items() if token.special)

    def __missing__(self, number: int) -> bytes:
        token = self._core.id_to_token(number)
        piece = b"" if token is None else self._bytes_of(token)
        self[number] = piece
        return piece


def joining(core: Core) -> tuple[bool, bool] | None:
    """(byte level?, is one leading space dropped?), or None when decoding is more than joining bytes."""
    decoder = json.loads(core.decoder.__getstate__()) if core.decoder is not None else {}
    if decoder.get("type") == "ByteLevel":
        return True, False
    steps = [_step(step) for step in decoder.get("decoders", ())]
    if steps in (["▁", "bytes", "fuse"], ["▁", "bytes", "fuse", "strip"]):
        return False, steps[-1] == "strip"
    return None


def _step(step: dict[str, Any]) -> str:
    match step:
        case {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}:
            return "▁"
        case {"type": "ByteFallback"}:
            return "bytes"
        case {"type": "Fuse"}:
            return "fuse"
        case {"type": "Strip", "content": " ", "start": 1, "stop": 0}:
            return "strip"
    return "?"


def _byte_level(token: str) -> bytes:
    try:
        return bytes(map(_ALPHABET.__getitem__, token))
    except KeyError:  # an added token, written as it is
        return token.encode()


def _byte_fallback(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        try:
            return bytes.fromhex(token[3:5])
        except ValueError:
            pass
    return token.replace("▁", " ").encode()

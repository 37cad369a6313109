"""The mock's next token: a pure function of all tokens so far, wherever they came from."""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path

from dynamo_cli.errors import EngineFailed
from dynamo_cli.workers.engines.vocabulary import read_pieces

_MODULUS = 2**64 - 59
_MASK = 2**64 - 1
_MIX = 0x9E3779B97F4A7C15
_WORD = re.compile(r"[Ġ▁]?[A-Za-z]{2,}")
FALLBACK_VOCABULARY = range(1000, 30000)
"""Token ids of an engine that was given no tokenizer."""


def initial_state(seed: int) -> int:
    return ((seed * _MIX) ^ 0xD1B54A32D192ED03) & _MASK or 1


def absorb(state: int, token: int) -> int:
    """The state after one more token: Horner's rule in base 2^32 modulo a prime near 2^64."""
    return ((state << 32) | token) % _MODULUS


def absorb_all(state: int, tokens: Sequence[int]) -> int:
    """The same as absorbing each in turn, in one pass of big-integer arithmetic."""
    words = array("I", tokens)
    if sys.byteorder == "little":
        words.byteswap()
    return int.from_bytes(state.to_bytes(8, "big") + words.tobytes(), "big") % _MODULUS


def pick(state: int, choices: int) -> int:
    """An index below `choices` (< 2^32), spread evenly over the states."""
    mixed = (state * _MIX) & _MASK
    mixed = ((mixed ^ (mixed >> 29)) * _MIX) & _MASK
    return ((mixed >> 32) * choices) >> 32


def printable_ids(tokenizer: Path) -> list[int]:
    """Ids of plain ASCII words in a tokenizer.json, in order; special and added tokens are left out.

    Raises EngineFailed when the file has no such words.
    """
    ids = sorted(id for piece, id in read_pieces(tokenizer).items() if _WORD.fullmatch(piece))
    if not ids:
        raise EngineFailed(f"{tokenizer}: the vocabulary has no plain words for the mock engine to say")
    return ids

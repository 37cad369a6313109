"""How much text a token can stand for: tells a hopelessly long prompt without tokenizing it."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer as Core

from dynamo_cli.text.pieces import joining
from dynamo_cli.text.segment_cache import special_tokens

_COMPOSED = 4
"""The most letters that NFC makes one of."""


def most_letters(core: Core) -> int | None:
    """No token stands for more letters of a text than this; None when there is no limit to be known.

    Control characters that a tokenizer drops are letters too: nobody writes thousands of them.
    """
    if joining(core) is None or special_tokens(core) is None or _squeezes(core):
        return None
    longest = max(map(len, core.get_vocab()), default=1)
    return longest if core.normalizer is None else longest * _COMPOSED


def _squeezes(core: Core) -> bool:
    if core.pre_tokenizer is not None and b'"Removed"' in core.pre_tokenizer.__getstate__():
        return True
    normalizer = json.loads(core.normalizer.__getstate__()) if core.normalizer is not None else {"type": "NFC"}
    return not all(map(_keeps_length, normalizer.get("normalizers", [normalizer])))


def _keeps_length(step: dict[str, Any]) -> bool:
    match step:
        case {"type": "NFC" | "Prepend"}:
            return True
        case {"type": "Replace", "pattern": {"String": pattern}, "content": content}:
            return len(pattern) <= len(content)
    return False

"""What a user's generator may yield, as deltas."""

from __future__ import annotations

from typing import Any

import msgspec

from dynamo_cli.errors import EngineFailed
from dynamo_cli.protocol.engine import Delta, TokenId
from dynamo_cli.protocol.instance import InputKind


def as_delta(item: Any, takes: InputKind) -> Delta:
    """A token id, several, a text, a Delta, or a dict with a Delta's fields; raises EngineFailed for anything else."""
    if type(item) is int and 0 <= item < _PAST_TOKENS:
        delta = Delta([item])
    elif isinstance(item, str):
        delta = Delta(text=item)
    elif isinstance(item, Delta):
        delta = item
    else:
        delta = _converted(item)
    if delta.text and takes == "tokens":
        raise EngineFailed(f"generate yielded text {delta.text[:20]!r}, but this engine takes tokens: yield token ids")
    if delta.token_ids and takes == "text":
        raise EngineFailed(f"generate yielded token ids {delta.token_ids[:3]}, but this engine takes text: yield text")
    return delta


def _converted(item: Any) -> Delta:
    try:
        if isinstance(item, dict):
            known = tuple(_DEFAULTS)
            unknown = next((key for key in item if key not in known), None)
            if unknown is not None:
                raise EngineFailed(f"generate yielded a dict with {unknown!r}; it may have {', '.join(known)}")
            return msgspec.convert([item.get(name, default) for name, default in _DEFAULTS.items()], Delta)
        return Delta(msgspec.convert(item, list[TokenId], from_attributes=False))
    except msgspec.ValidationError as error:
        what = f"a dict that is no delta: {error}" if isinstance(item, dict) else repr(item)[:40]
        raise EngineFailed(f"generate yielded {what}; yield a token id, a list of them, text or a Delta") from None


_PAST_TOKENS = 1 << 32
"""See TokenId."""
_NOT_THEIRS = ("handover", "vector", "cached_tokens", "fetched")
"""What only engines answer that prefill for others, or embed, or what is in the usage. The last fields of a Delta."""
_DEFAULTS: dict[str, Any] = {
    field: getattr(Delta(), field) for field in Delta.__struct_fields__ if field not in _NOT_THEIRS
}

"""The files of a text bundle: what a worker lays out and a frontend loads."""

from __future__ import annotations

import msgspec

TOKENIZER, TEMPLATE, FACTS = "tokenizer.json", "chat_template.jinja", "text.json"


class TextFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`context_length` in tokens, 0 when the model does not say. `add_bos`: before a prompt that has none."""

    eos_token_ids: list[int]
    bos_token_id: int | None = None
    bos_token: str = ""
    eos_token: str = ""
    add_bos: bool = False
    context_length: int = 0

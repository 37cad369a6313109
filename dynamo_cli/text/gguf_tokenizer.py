"""A tokenizer.json from the metadata of a GGUF file."""

from __future__ import annotations

import json
from typing import Any

from dynamo_cli.text.endings import END_TOKENS
from dynamo_cli.text.gguf_bpe import bpe_tokenizer
from dynamo_cli.text.gguf_spm import spm_tokenizer
from dynamo_cli.text.pretokenizers import PRE_TOKENIZERS
from dynamo_cli.text.vocabulary import CONTROL, UNKNOWN, USER_DEFINED, Vocabulary


def tokenizer_json(vocabulary: Vocabulary) -> bytes | None:
    """None when its kind is not known exactly: then the engine has to tokenize."""
    build = {"gpt2": bpe_tokenizer, "llama": spm_tokenizer}.get(str(vocabulary.get("model")))
    core = build(vocabulary) if build is not None else None
    if core is None:
        return None
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _special_tokens(vocabulary),
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": _post_processor(vocabulary),
        **core,
    }
    try:
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a token that is not UTF-8 cannot be written down
        return None


def adds_bos(vocabulary: Vocabulary) -> bool:
    """Whether a prompt begins with the BOS token; what the file does not say follows from its kind."""
    if vocabulary.get("model") == "llama":
        default = True
    else:
        pre = PRE_TOKENIZERS.get(str(vocabulary.get("pre", "default")))
        default = pre is not None and pre.add_bos
    return vocabulary.flag("add_bos_token", default) and bos_id(vocabulary) is not None


def bos_id(vocabulary: Vocabulary) -> int | None:
    return vocabulary.token_id("bos_token_id", 1 if vocabulary.get("model") == "llama" else None)


def eos_id(vocabulary: Vocabulary) -> int | None:
    return vocabulary.token_id("eos_token_id", 2 if vocabulary.get("model") == "llama" else None)


def _special_tokens(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    name = str(vocabulary.metadata.get("general.name", "")).lower()
    eats_space = "phi-3" in name or "phi3" in name
    return [
        {
            "id": number,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": eats_space and token not in ("<unk>", "<s>", "<|endoftext|>"),
            "normalized": False,
            "special": kind != USER_DEFINED,
        }
        for number, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.types, strict=False))
        if kind in (UNKNOWN, CONTROL, USER_DEFINED) or token in END_TOKENS
    ]


def _post_processor(vocabulary: Vocabulary) -> dict[str, Any] | None:
    before = [bos_id(vocabulary)] if adds_bos(vocabulary) else []
    after = [eos_id(vocabulary)] if vocabulary.flag("add_eos_token", False) else []
    special = {number for number in (*before, *after) if number is not None}
    if not special:
        return None

    def pieces(ids: list[int | None]) -> list[dict[str, Any]]:
        return [{"SpecialToken": {"id": str(number), "type_id": 0}} for number in ids if number is not None]

    text = {"Sequence": {"id": "A", "type_id": 0}}
    pair = {"Sequence": {"id": "B", "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [*pieces(before), text, *pieces(after)],
        "pair": [*pieces(before), text, *pieces(after), pair],
        "special_tokens": {
            str(number): {"id": str(number), "ids": [number], "tokens": [vocabulary.tokens[number]]}
            for number in sorted(special)
        },
    }

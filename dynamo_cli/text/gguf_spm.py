"""A `tokenizers` description of the SentencePiece (llama) vocabulary of a GGUF file."""

from __future__ import annotations

from typing import Any

from dynamo_cli.text.vocabulary import Vocabulary

SPACE = "▁"
Step = dict[str, Any]


def spm_tokenizer(vocabulary: Vocabulary) -> dict[str, Any] | None:
    """None when it cannot spell every byte."""
    if any(f"<0x{byte:02X}>" not in vocabulary.ids for byte in range(256)):
        return None
    prefix = vocabulary.flag("add_space_prefix", True)
    unknown = vocabulary.token_id("unknown_token_id", 0)
    escape: Step = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    prepend: Step = {"type": "Prepend", "prepend": SPACE}
    unescape: Step = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    join: list[Step] = [unescape, {"type": "ByteFallback"}, {"type": "Fuse"}]
    strip: Step = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    return {
        "normalizer": _sequence("normalizers", [prepend, escape] if prefix else [escape]),
        "decoder": _sequence("decoders", [*join, strip] if prefix else join),
        "model": {
            "type": "BPE",
            "vocab": vocabulary.ids,
            "merges": _merges(vocabulary),
            "byte_fallback": True,
            "fuse_unk": True,
            "unk_token": None if unknown is None else vocabulary.tokens[unknown],
        },
    }


def _sequence(key: str, steps: list[Step]) -> Step:
    return {"type": "Sequence", key: steps}


def _merges(vocabulary: Vocabulary) -> list[list[str]]:
    """Every way to put a token together from two others; the better the token's score, the earlier."""
    ids, scores = vocabulary.ids, vocabulary.scores
    merges: list[list[str]] = []
    for _, token in sorted((-scores[number], token) for token, number in ids.items()):
        merges += [
            [token[:cut], token[cut:]] for cut in range(1, len(token)) if token[:cut] in ids and token[cut:] in ids
        ]
    return merges

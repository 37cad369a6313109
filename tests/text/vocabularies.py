"""Metadata of GGUF tokenizers for tests: the real model's, and a small SentencePiece one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, trainers

from dynamo_cli.hub.gguf import read_metadata
from tests.text.texts import random_texts


def bpe_metadata(model: Path, **changes: object) -> dict:
    """The `tokenizer.ggml.*` part of a model's file; `changes` without that prefix."""
    found = {key: value for key, value in read_metadata(model).items() if key.startswith("tokenizer.ggml.")}
    plain = {key: value if isinstance(value, (str, int, float)) else list(value) for key, value in found.items()}
    _keep_first(plain, 6000)
    return plain | {f"tokenizer.ggml.{key}": value for key, value in changes.items()}


def _keep_first(metadata: dict, count: int) -> None:
    """A small vocabulary tokenizes by the same rules, and loads faster."""
    for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type"):
        metadata[key] = metadata[key][:count]
    known = set(metadata["tokenizer.ggml.tokens"])
    merges = metadata["tokenizer.ggml.merges"]
    metadata["tokenizer.ggml.merges"] = [merge for merge in merges if merge.replace(" ", "", 1) in known]


@cache
def _pieces() -> list[str]:
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(vocab_size=2500, limit_alphabet=300, show_progress=False, max_token_length=8)
    core.train_from_iterator(random_texts(1500, seed=3), trainer)
    return sorted(core.get_vocab(), key=core.get_vocab().__getitem__)


def spm_metadata(**changes: object) -> dict:
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "<|im_start|>", "<|im_end|>"]
    pieces = [piece for piece in _pieces() if piece not in special and "\0" not in piece]
    types = [2, 3, 3, *[6] * 256, 4, 3, *[1] * len(pieces)]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": special + pieces,
        "tokenizer.ggml.scores": [0.0] * len(special) + [-float(rank) for rank in range(len(pieces))],
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        **{f"tokenizer.ggml.{key}": value for key, value in changes.items()},
    }

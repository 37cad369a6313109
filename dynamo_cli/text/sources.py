"""Tokenizer, chat template and the facts around them, out of a model's files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.gguf import read_metadata
from dynamo_cli.hub.resolve import ModelFiles
from dynamo_cli.text.endings import end_token_ids
from dynamo_cli.text.facts import TextFacts
from dynamo_cli.text.gguf_tokenizer import adds_bos, bos_id, eos_id, tokenizer_json
from dynamo_cli.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class TextSource:
    tokenizer: bytes
    template: str | None
    facts: TextFacts


def read_source(files: ModelFiles) -> TextSource | None:
    """None when the tokenizer's kind is not known. Raises ModelMissing for unusable files."""
    return _from_gguf(files.path) if files.kind == "gguf" else _from_directory(files.path)


def _from_gguf(path: Path) -> TextSource | None:
    metadata = read_metadata(path)
    vocabulary = Vocabulary(metadata)
    tokenizer = tokenizer_json(vocabulary)
    if tokenizer is None:
        return None
    bos, eos = bos_id(vocabulary), eos_id(vocabulary)
    template = metadata.get("tokenizer.chat_template")
    context = metadata.get(f"{metadata.get('general.architecture')}.context_length")
    facts = TextFacts(
        eos_token_ids=end_token_ids(vocabulary),
        bos_token_id=bos,
        bos_token="" if bos is None else vocabulary.tokens[bos],
        eos_token="" if eos is None else vocabulary.tokens[eos],
        add_bos=adds_bos(vocabulary),
        context_length=context if isinstance(context, int) else 0,
    )
    return TextSource(tokenizer, template if isinstance(template, str) else None, facts)


def _from_directory(path: Path) -> TextSource | None:
    tokenizer_file = path / "tokenizer.json"
    if not tokenizer_file.is_file():
        return None
    tokenizer = _read(tokenizer_file)
    ids = _added_ids(_object(tokenizer_file, tokenizer))
    settings, config, generation = (
        _object(path / name) for name in ("tokenizer_config.json", "config.json", "generation_config.json")
    )
    bos_token, eos_token = _text(settings.get("bos_token")), _text(settings.get("eos_token"))
    ends = [*_numbers(generation.get("eos_token_id")), *_numbers(_text_config(config).get("eos_token_id"))]
    if eos_token in ids:
        ends.append(ids[eos_token])
    bos = ids.get(bos_token, next(iter(_numbers(_text_config(config).get("bos_token_id"))), None))
    facts = TextFacts(
        eos_token_ids=sorted(set(ends)),
        bos_token_id=bos,
        bos_token=bos_token,
        eos_token=eos_token,
        context_length=next(iter(_numbers(_text_config(config).get("max_position_embeddings"))), 0),
    )
    return TextSource(tokenizer, _template(path, settings), facts)


def _template(path: Path, settings: dict[str, Any]) -> str | None:
    """The file of its own comes before the setting; of several named ones, the one called default."""
    file = path / "chat_template.jinja"
    if file.is_file():
        return _read(file).decode("utf-8", "replace")
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        found = named.get("default", next(iter(named.values()), None))
    return found if isinstance(found, str) else None


def _text_config(config: dict[str, Any]) -> dict[str, Any]:
    """Models that also see keep the language model's part apart."""
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, dict) else config


def _added_ids(tokenizer: dict[str, Any]) -> dict[str, int]:
    added = tokenizer.get("added_tokens") or []
    whole = (token for token in added if isinstance(token, dict) and {"content", "id"} <= token.keys())
    return {token["content"]: token["id"] for token in whole}


def _text(token: Any) -> str:
    """Special tokens are written as a string or as an object around it."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _numbers(value: Any) -> list[int]:
    values = value if isinstance(value, list) else [value]
    return [number for number in values if isinstance(number, int) and not isinstance(number, bool)]


def _object(path: Path, content: bytes | None = None) -> dict[str, Any]:
    if content is None and not path.is_file():
        return {}
    try:
        found = json.loads(_read(path) if content is None else content)
    except ValueError as error:
        raise ModelMissing(f"{path}: not valid JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelMissing(f"{path}: cannot be read: {error.strerror}") from error

"""Whether a directory holds a whole model, and of which kind."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from dynamo_cli.errors import ModelMissing

_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$")


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def find_weights(directory: Path) -> Path:
    """The .gguf file to load when those are the only weights, else the directory itself (Hugging Face layout).

    Raises ModelMissing with what is missing.
    """
    if (directory / "config.json").is_file() and _has_tensors(directory):
        return directory
    parts = [file for file in _files(directory, "*.gguf") if not file.name.startswith("mmproj")]
    heads = [file for file in parts if not _LATER_PART.search(file.name)]
    if len(heads) == 1:
        return heads[0]
    if heads:
        raise ModelMissing(f"{directory}: several models: name one of {', '.join(file.name for file in heads)}")
    raise ModelMissing(f"{directory}: no model: neither a .gguf file nor config.json with .safetensors files")


def _has_tensors(directory: Path) -> bool:
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = set(msgspec.json.decode(index.read_bytes(), type=_Index).weight_map.values())
        except (OSError, msgspec.DecodeError) as error:
            raise ModelMissing(f"{index}: cannot be read as an index of weights: {error}") from error
        missing = sorted(name for name in names if not (directory / name).is_file())
        if missing:
            more = f" and {len(missing) - 1} more files are" if len(missing) > 1 else " is"
            raise ModelMissing(f"{directory}: incomplete: {missing[0]}{more} missing")
        return True
    return bool(_files(directory, "*.safetensors"))


def _files(directory: Path, pattern: str) -> list[Path]:
    """Without links to what is gone, as in a cache that somebody has cleared by hand."""
    return [file for file in sorted(directory.glob(pattern)) if file.is_file()]

"""The files of a model on this disk -> what its memory depends on: the one place here that reads."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from dynamo_cli.errors import ModelMissing
from dynamo_cli.estimate.config import shape_of_config
from dynamo_cli.estimate.gguf import shape_of_gguf
from dynamo_cli.estimate.shape import ModelShape, ShapeUnknown
from dynamo_cli.hub.described import recall
from dynamo_cli.hub.gguf import read_head
from dynamo_cli.hub.resolve import ModelFiles, looks_like_repository
from dynamo_cli.hub.tensors import read_safetensors


def read_shape(files: ModelFiles) -> ModelShape:
    """From the heads of its files; no weight is read. Raises ShapeUnknown, and ModelMissing for an unusable file."""
    if files.kind == "gguf":
        return shape_of_gguf(*read_head(files.path))
    return shape_of_config(_config(files.path / "config.json"), read_safetensors(files.path))


def shape_or_reason(files: ModelFiles) -> ModelShape | str:
    """The same, or in words why nothing is known."""
    try:
        return read_shape(files)
    except (ShapeUnknown, ModelMissing) as why:
        return str(why)


def remembered_shape(model: str) -> ModelShape | None:
    """Of a model that is not on this disk, as the hub once told it."""
    told = recall(model) if looks_like_repository(model) else None
    with suppress(ShapeUnknown):
        return shape_of_config(told.config, told.tensors) if told else None
    return None


def _config(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())  # msgspec refuses Infinity, which Python writes into such files
    except OSError as error:
        raise ModelMissing(f"{file}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ModelMissing(f"{file}: is no JSON object: {error}") from error
    if not isinstance(found, dict):
        raise ModelMissing(f"{file}: is no JSON object")
    return found

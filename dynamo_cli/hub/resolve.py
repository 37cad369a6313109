"""A model's name or path -> its files on this disk. Nothing here touches the network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.catalogue import CATALOGUE, nearest
from dynamo_cli.hub.paths import huggingface_cache, models_dir
from dynamo_cli.hub.weights import find_weights


@dataclass(frozen=True)
class ModelFiles:
    """`path`: the .gguf file, or the directory of a Hugging Face model."""

    name: str
    path: Path
    kind: Literal["gguf", "hf"]


def resolve_model(name: str, *, cache: Path | None = None) -> ModelFiles:
    """A path, a catalogue model in `cache` (default $XDG_CACHE_HOME/dynamo), or one in the Hugging Face cache.

    Raises ModelMissing with the command that helps.
    """
    if is_path(name):
        return _local(name)
    if name in CATALOGUE:
        model = CATALOGUE[name]
        path = models_dir(cache) / model.file
        if path.is_file() and path.stat().st_size == model.size:
            return ModelFiles(name, path, "gguf")
    snapshot = _snapshot(name)
    if snapshot is not None:
        try:
            return _files(name, find_weights(snapshot))
        except ModelMissing as error:
            raise ModelMissing(f"model {name}: {error}; run `dynamo pull {name}`") from error
    raise ModelMissing(missing_line(name))


def is_path(name: str) -> bool:
    """Whether a model's name means a place on this disk."""
    return name.startswith(("/", "./", "../", "~")) or name.endswith(".gguf") or os.path.exists(name)


def missing_line(name: str) -> str:
    """Why `name` is not here and which command helps."""
    if name in CATALOGUE:
        return f"model {name} is not on this disk; run `dynamo pull {name}`"
    guess = nearest(name, {*CATALOGUE, *cached_names()})
    if guess is not None:
        return f"model {name} is not on this disk; did you mean {guess}?"
    if looks_like_repository(name):
        return f"model {name} is not on this disk; run `dynamo pull {name}`"
    return f"model {name} is neither a path, nor in the catalogue, nor ORG/NAME; `dynamo pull` fetches the default"


def looks_like_repository(name: str) -> bool:
    """ORG/NAME, as Hugging Face names its models."""
    organisation, slash, model = name.partition("/")
    return bool(slash and organisation and model) and all(
        part.replace("-", "").replace("_", "").replace(".", "").isalnum() for part in (organisation, model)
    )


def _local(name: str) -> ModelFiles:
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            return _files(name, find_weights(path.resolve()))
        if not path.is_file():
            raise ModelMissing(f"model {name}: no such file or directory")
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelMissing(f"model {name}: cannot be read: {error.strerror}") from error
    except RuntimeError as error:  # of expanduser
        raise ModelMissing(f"model {name}: the home directory it begins with is not known") from error
    if magic != b"GGUF":
        raise ModelMissing(f"model {name}: not a GGUF file (it does not begin with GGUF)")
    return ModelFiles(name, path.absolute(), "gguf")


def _files(name: str, found: Path) -> ModelFiles:
    return ModelFiles(name, found, "hf" if found.is_dir() else "gguf")


def _snapshot(name: str) -> Path | None:
    """The directory of the revision `main` of a repository in the Hugging Face cache."""
    if not looks_like_repository(name):
        return None
    repository = huggingface_cache() / f"models--{name.replace('/', '--')}"
    try:
        revision = (repository / "refs" / "main").read_text().strip()
    except OSError:
        return None
    snapshot = repository / "snapshots" / revision
    return snapshot if revision and os.sep not in revision and snapshot.is_dir() else None


def cached_names() -> list[str]:
    """Repositories in the Hugging Face cache, whole or not."""
    return [
        folder.name.removeprefix("models--").replace("--", "/", 1)
        for folder in sorted(huggingface_cache().glob("models--*"))
    ]

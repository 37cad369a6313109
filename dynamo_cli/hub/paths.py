"""Where models and what is made from them live on this disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynamo_cli.errors import ResourceMissing


def user_cache() -> Path:
    """$XDG_CACHE_HOME, else ~/.cache (a relative value is ignored, as its specification says)."""
    set_by_user = os.environ.get("XDG_CACHE_HOME", "")
    return Path(set_by_user) if os.path.isabs(set_by_user) else Path.home() / ".cache"


def cache_dir() -> Path:
    return user_cache() / "dynamo"


def models_dir(cache: Path | None = None) -> Path:
    return (cache or cache_dir()) / "models"


def huggingface_cache() -> Path:
    """The directory of Hugging Face's `models--ORG--NAME` folders, by its own environment variables."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return Path(os.environ[name]).expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else user_cache() / "huggingface") / "hub"


def check_room(folder: Path, size: int, what: str) -> None:
    """ResourceMissing when the disk of `folder` has no `size` bytes left for `what`."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise ResourceMissing(f"{folder}: {what} needs {size / 1e6:.0f} MB, {free / 1e6:.0f} MB are free")


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """A full or read-only disk while writing under `place` becomes one line (ResourceMissing)."""
    try:
        yield
    except OSError as error:
        raise ResourceMissing(f"{place}: cannot be written: {error.strerror or error}") from error

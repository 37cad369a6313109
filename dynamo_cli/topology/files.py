"""Reads a topology file; whatever keeps it from being text is one clear line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from dynamo_cli.errors import TopologyError
from dynamo_cli.topology.words import nearest

MOST_BYTES = 4 << 20
"""A file of more is something else, such as a model, and may be more than the memory holds."""


def read_text(path: Path) -> str:
    """The file's text with newlines as they are; raises TopologyError."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise TopologyError([f"{path}: no such file{_suggested(path)}"]) from None
    except IsADirectoryError:
        raise TopologyError([f"{path}: is a directory, not a topology file{_listed(path)}"]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TopologyError([f"{path}: cannot be read: {reason}"]) from None
    if len(data) > MOST_BYTES:
        raise TopologyError([f"{path}: is more than {MOST_BYTES >> 20} MiB, no topology file{_for_model(path)}"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TopologyError([f"{path}:{line}: not UTF-8 text: byte 0x{data[error.start]:02x}"]) from None
    if not text.strip():
        raise TopologyError([f"{path}:1: the file is empty; add a table such as [workers.decode]"])
    return text


def _suggested(path: Path) -> str:
    """The existing topology whose name is nearest, first beside the wanted one."""
    for folder in dict.fromkeys((path.parent, Path("topologies"), Path(), path.parent / "topologies")):
        there = {file.stem: file for file in topologies_in(folder)}
        near = path.stem if path.stem in there else nearest(path.stem, there)
        if near:
            return f"; did you mean {there[near]}"
    return ""


def _for_model(path: Path) -> str:
    return f"; `dynamo init {shlex.quote(str(path))}` writes one for this model" if path.suffix == ".gguf" else ""


def _listed(folder: Path) -> str:
    there = [str(file) for file in topologies_in(folder)]
    return f"; it holds {', '.join(there)}" if 0 < len(there) <= 8 else ""


def topologies_in(folder: Path) -> Iterator[Path]:
    """TOML files by name; none where nothing can be listed."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    yield from (folder / name for name in names if name.endswith(".toml") and name != "pyproject.toml")

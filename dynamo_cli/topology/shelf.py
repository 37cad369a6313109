"""The topologies that lie in a directory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dynamo_cli.topology.files import topologies_in

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Found(NamedTuple):
    """`about`: the first line of comment in the file. `parts`: its pools and services."""

    file: Path
    name: str
    about: str
    parts: tuple[str, ...]


def find_topologies(folder: Path) -> Iterator[Found]:
    """Every file that reads like a topology, by name; others are passed over."""
    for file in topologies_in(folder):
        try:
            text = file.read_text(encoding="utf-8-sig")
            document = tomllib.loads(text)
        except (OSError, ValueError, RecursionError):
            continue
        if {"workers", "services", "extends"} & document.keys():
            yield Found(file, str(document.get("name", file.stem)), _about(text), _parts(document))


def _about(text: str) -> str:
    comments = (line[1:].strip() for line in text.splitlines() if line.startswith("#") and not line.startswith("#:"))
    return next(filter(None, comments), "")


def _parts(document: dict[str, Any]) -> tuple[str, ...]:
    sections = [document.get(section) for section in ("workers", "services")]
    return tuple(name for section in sections if isinstance(section, dict) for name in section)

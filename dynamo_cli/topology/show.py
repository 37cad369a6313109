"""A topology as it is after all its files, variables and settings: TOML with the place of each value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from dynamo_cli.runtime.redact import redact, redact_command, redact_environment
from dynamo_cli.topology.load import Document
from dynamo_cli.topology.positions import KeyPath

_BARE = re.compile(r"[A-Za-z0-9_-]+")
COMMENT_AT = 44


def toml_lines(document: Document) -> Iterator[str]:
    """Values first, then tables, each value with `# file:line` or `# --set KEY` behind it."""
    yield from _table(covered(document.values), (), document)


def covered(values: dict[str, Any]) -> dict[str, Any]:
    """The same without secrets."""
    return {key: _covered(key, value) for key, value in values.items()}


def _covered(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        texts = key == "env" and all(isinstance(item, str) for item in value.values())
        return redact_environment(value) if texts else covered(value)
    if isinstance(value, list):
        texts = all(isinstance(item, str) for item in value)
        return list(redact_command(value)) if texts else [_covered(key, item) for item in value]
    return redact(value) if isinstance(value, str) else value


def _table(table: dict[str, Any], path: KeyPath, document: Document) -> Iterator[str]:
    for key, value in table.items():
        if not isinstance(value, dict):
            line = f"{_key(key)} = {toml_value(value)}"
            yield f"{line.ljust(COMMENT_AT)}  # {_origin((*path, key), document)}"
    for key, value in table.items():
        if isinstance(value, dict):
            below = (*path, key)
            if not value or any(not isinstance(inner, dict) for inner in value.values()):
                yield ""
                yield f"[{'.'.join(_key(str(part)) for part in below)}]"
            yield from _table(value, below, document)


def toml_value(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return str(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else toml_value(key)


def _origin(path: KeyPath, document: Document) -> str:
    places = document.report.places
    if places.is_set(path):
        return places.locate(path)[1].partition(":")[0]
    place = places.place(path)
    return f"{place.file}:{place.line}"

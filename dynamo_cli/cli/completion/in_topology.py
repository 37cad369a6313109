"""Names in the topology file on the command line, and what `--set` can change of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from dynamo_cli.errors import DynamoError
from dynamo_cli.topology.layers import EXTENDS, read_layers

Schema = Mapping[str, Any]
SECTIONS = {"workers": "pool", "services": "service"}


def parts(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pools and services that are not named yet."""
    document = _document(words)
    for section, noun in SECTIONS.items():
        for name, part in _table(document, section).items():
            if name not in words:
                engine = part.get("engine", "") if isinstance(part, dict) else ""
                yield name, f"{noun}, {engine}" if engine else noun


def settings(current: str, words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every dotted key up to its `=`; after that the values its schema lists."""
    schema = msgspec.json.decode(resources.files("dynamo_cli.topology").joinpath("topology.schema.json").read_bytes())
    keys = dict(_keys(schema, _document(words), "", current))
    key, equals, _ = current.partition("=")
    if not equals:
        yield from ((f"{name}=", str(inner.get("description", ""))) for name, inner in keys.items())
    elif key in keys:
        yield from ((f"{key}={value}", about) for value, about in _key_values(key, keys[key]))


def _document(words: Sequence[str]) -> dict[str, Any]:
    """The first of `words` that is a TOML file, with all it extends; empty without one, or when it cannot be read."""
    for word in words:
        file = Path(word).expanduser()
        if file.suffix == ".toml" and file.is_file():
            try:
                return read_layers(file).document
            except DynamoError:
                return {}
    return {}


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _keys(schema: Schema, document: Mapping[str, Any], prefix: str, current: str) -> Iterator[tuple[str, Schema]]:
    """Keys that hold a value; those of a value that may be a table as well once its name is typed."""
    for name, inner in schema.get("properties", {}).items():
        key, values = f"{prefix}{name}", _table(document, name)
        named = inner.get("additionalProperties")
        if "properties" in inner:
            yield from _keys(inner, values, f"{key}.", current)
        elif isinstance(named, dict) and "properties" in named:
            for each in values:
                yield from _keys(named, _table(values, each), f"{key}.{each}.", current)
        elif isinstance(named, dict):
            variable = {"description": "environment variable", **named}
            yield from ((f"{key}.{each}", variable) for each in dict.fromkeys([*values, "DYN_LOG"]))
        elif key != EXTENDS:
            yield key, inner
            for table in inner.get("anyOf", ()) if current.startswith(f"{key}.") else ():
                yield from _keys(table, values, f"{key}.", current)


def _key_values(key: str, schema: Schema) -> Iterator[tuple[str, str]]:
    name = key.rpartition(".")[2]
    if name == "model":
        from dynamo_cli.cli.completion.models import models

        yield from models()
    elif name == "engine":
        from dynamo_cli.workers.engines.registry import SPECS

        yield from ((engine, "") for engine in ("auto", *SPECS))
    elif key.endswith(".env.DYN_LOG"):
        from dynamo_cli.runtime.logs import LEVELS

        yield from ((level, "") for level in LEVELS)
    else:
        yield from ((value, "") for value in _listed(schema))


def _listed(schema: Schema) -> Iterator[str]:
    """What a schema names itself: its choices, and true and false."""
    constants = [schema["const"]] if "const" in schema else []
    if schema.get("type") == "boolean":
        constants = [True, False]
    for value in [*constants, *schema.get("enum", ())]:
        yield value if isinstance(value, str) else msgspec.json.encode(value).decode()
    for each in schema.get("anyOf", ()):
        yield from _listed(each)

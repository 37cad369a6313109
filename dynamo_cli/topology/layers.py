"""A topology file on top of those it extends: one document, and where each of its keys was written."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dynamo_cli.errors import TopologyError
from dynamo_cli.topology.files import read_text
from dynamo_cli.topology.positions import KeyPath, key_lines
from dynamo_cli.topology.report import Place
from dynamo_cli.topology.words import found, one_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXTENDS = "extends"


class Layer(NamedTuple):
    """`places`: of each key, table and element."""

    document: dict[str, Any]
    places: dict[KeyPath, Place]


def read_layers(path: Path) -> Layer:
    """The file and all it extends; raises TopologyError for what cannot be read, and for a file that extends itself."""
    return _read(path, ())


def merged(under: Layer, over: Layer) -> Layer:
    """Tables are merged key by key; any other value of `over`, lists too, replaces that of `under`."""
    document = dict(under.document)
    places = dict(under.places)
    _merge(document, over.document, (), places)
    return Layer(document, {**places, **over.places})


def _merge(under: dict[str, Any], over: Mapping[str, Any], path: KeyPath, places: dict[KeyPath, Place]) -> None:
    for key, value in over.items():
        here, below = under.get(key), (*path, key)
        if isinstance(here, dict) and isinstance(value, dict):
            under[key] = dict(here)
            _merge(under[key], value, below, places)
            continue
        under[key] = value
        for gone in [known for known in places if known[: len(below)] == below]:
            del places[gone]


def _read(path: Path, trail: tuple[Path, ...]) -> Layer:
    own = _parsed(path)
    names = own.document.pop(EXTENDS, [])
    under = Layer({}, {})
    for position, name in enumerate([names] if isinstance(names, str) else _listed(names, own)):
        at = own.places.get((EXTENDS, position), own.places[EXTENDS,])
        under = merged(under, _extended(name, path, at, (*trail, path.resolve())))
    return merged(under, own)


def _extended(name: object, path: Path, at: Place, trail: tuple[Path, ...]) -> Layer:
    where = f"{at.file}:{at.line}: {EXTENDS}: "
    if not isinstance(name, str) or not name:
        raise TopologyError([f"{where}expected the name of a file, found {found(name)}"])
    file = path.parent / Path(name).expanduser()
    if file.resolve() in trail:
        raise TopologyError([one_line(f"{where}{file} extends itself by way of {path.name}")])
    if not file.exists():
        raise TopologyError([one_line(f"{where}{file}: no such file")])
    return _read(file, trail)


def _listed(names: object, own: Layer) -> list[Any]:
    if isinstance(names, list):
        return names
    at = own.places[EXTENDS,]
    raise TopologyError([f"{at.file}:{at.line}: {EXTENDS}: expected a file or a list of files, found {found(names)}"])


def _parsed(path: Path) -> Layer:
    text = read_text(path)
    try:
        document = tomllib.loads(text)
        return Layer(document, {key: Place(str(path), line) for key, line in key_lines(text).items()})
    except RecursionError:
        raise TopologyError([f"{path}:1: not valid TOML: nested too deeply"]) from None
    except ValueError as error:
        raise TopologyError([_syntax_problem(path, text, str(error))]) from None


def _syntax_problem(path: Path, text: str, message: str) -> str:
    what, _, place = message.partition(" (at ")
    at = re.match(r"line (\d+), column (\d+)", place)
    last = len(text.rstrip("\n").split("\n"))
    line, column = (int(at[1]), f" (column {at[2]})") if at else (last if place else 1, "")
    return one_line(f"{path}:{line}: not valid TOML: {what[:1].lower()}{what[1:]}{column}")

"""A topology file, with the settings of the command line, becomes a Topology or all of its problems."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from dynamo_cli.errors import TopologyError
from dynamo_cli.topology.check import Specs, check
from dynamo_cli.topology.files import read_text
from dynamo_cli.topology.positions import KeyPath, key_lines
from dynamo_cli.topology.report import Places, Report
from dynamo_cli.topology.schema import TOPOLOGY, Pool, Topology, key_homes
from dynamo_cli.topology.settings import apply_settings
from dynamo_cli.topology.words import one_line
from dynamo_cli.workers.engines.registry import SPECS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load_topology(path: Path, sets: Sequence[str] = (), *, specs: Specs = SPECS) -> Topology:
    """Read and check `path`; raises TopologyError with every problem, sorted by line, those of `sets` last."""
    document, places = _parse(path)
    report = Report(places, key_homes())
    apply_settings(document, sets, report)
    topology: Topology = TOPOLOGY.read(document, (), report)
    topology = _completed(topology, path, places)
    check(topology, document, specs, report)
    report.raise_problems()
    return topology


def _parse(path: Path) -> tuple[dict[str, Any], Places]:
    text = read_text(path)
    try:
        document = tomllib.loads(text)
        return document, Places(str(path), key_lines(text))
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


def _completed(topology: Topology, path: Path, places: Places) -> Topology:
    """Defaults that depend on the file's name and place, and pools that know their names."""
    stem = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-_")[:40] or "local"
    return msgspec.structs.replace(
        topology,
        name=topology.name or stem,
        model=_located(topology.model, ("model",), path, places),
        source=str(path),
        places=places,
        workers={
            name: msgspec.structs.replace(
                pool, name=name, model=_located(pool.model, ("workers", name, "model"), path, places)
            )
            for name, pool in topology.workers.items()
            if isinstance(pool, Pool)
        },
    )


def _located(model: str, key: KeyPath, path: Path, places: Places) -> str:
    """A relative path in the file starts at the file; one given on the command line where the user stands."""
    if not is_path(model):
        return model
    base = Path.cwd() if places.is_set(key) else path.absolute().parent
    return str((base / Path(model).expanduser()).resolve())


def is_path(model: str) -> bool:
    """Whether a model is written as a path, not as a name to look up."""
    return model.startswith(("/", "./", "../", "~")) or model in (".", "..") or model.endswith(".gguf")

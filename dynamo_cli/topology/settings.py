"""`--set KEY=VALUE`: a change to the topology from the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from dynamo_cli.topology.positions import KeyPath, split_key
from dynamo_cli.topology.report import Report, Setting
from dynamo_cli.topology.words import dotted, found, suggestion

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def apply_settings(document: dict[str, Any], settings: Sequence[str], report: Report) -> None:
    """Write each setting into `document`, in order, and remember in the report's places where it came from."""
    for setting in settings:
        key, path, value = _parse(setting, report)
        if path:
            report.places.settings.append(Setting(key, path))
            problem = _write(document, path, value)
            if problem:
                report.add(path, problem)


def _parse(setting: str, report: Report) -> tuple[str, KeyPath, Any]:
    try:
        path, end = split_key(setting)
    except ValueError:
        path, end = (), 0
    if not path or not setting.startswith("=", end):
        key = setting.partition("=")[0].strip() or setting
        report.places.settings.append(Setting(key, (key,)))
        example = "--set frontend.port=8001"
        well_formed = path and end == len(setting)
        report.add((key,), f"has no value; write {key}=VALUE" if well_formed else f"not a dotted key, as in {example}")
        return key, (), None
    return setting[:end].strip(), path, _value(setting[end + 1 :])


def _value(text: str) -> Any:
    """`text` as a TOML value, else the bare text."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return document["value"] if len(document) == 1 else text


def _write(document: dict[str, Any], path: KeyPath, value: Any) -> str | None:
    problem = _new_name_problem(document, path)
    if problem:
        return problem
    table: Any = document
    for depth, part in enumerate(path[:-1], start=1):
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            whole = dotted(path[:depth])
            return f"{whole} is {found(table)}, which has no keys; set {whole} as a whole"
    table[path[-1]] = value
    return None


_NAMED: dict[str | int, str] = {"workers": "pool of workers", "services": "service"}


def _new_name_problem(document: dict[str, Any], path: KeyPath) -> str | None:
    """A mistyped name must not become a new one: only a whole table makes a pool or a service."""
    if path[0] not in _NAMED or len(path) < 3:
        return None
    named = document.get(str(path[0]), {})
    if not isinstance(named, dict) or not named or path[1] in named:
        return None
    return f"no {_NAMED[path[0]]} has this name{suggestion(str(path[1]), named)}"

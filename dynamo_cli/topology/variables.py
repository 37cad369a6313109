"""`${NAME}` and `${NAME:-default}` in the texts of a topology, and the `.env` file beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynamo_cli.errors import TopologyError
from dynamo_cli.topology.fields import Expanded
from dynamo_cli.topology.positions import KeyPath
from dynamo_cli.topology.report import Report
from dynamo_cli.topology.words import one_line, quoted

_USE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:[^{}$]|\$(?!\{))*))?\}|\$\{")
_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_SINGLE = re.compile(r"'([^']*)'\s*(?:#.*)?")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def expand(document: Any, environ: Mapping[str, str], report: Report, path: KeyPath = ()) -> Any:
    """The document with every variable replaced. `$${` is a literal `${`; an empty variable counts as unset.

    What is not set and has no default, and what is no variable, is reported.
    """
    if isinstance(document, dict):
        return {key: expand(value, environ, report, (*path, key)) for key, value in document.items()}
    if isinstance(document, list):
        return [expand(value, environ, report, (*path, index)) for index, value in enumerate(document)]
    return _expand_text(document, environ, report, path) if isinstance(document, str) else document


def _expand_text(text: str, environ: Mapping[str, str], report: Report, path: KeyPath) -> str:
    def value(found: re.Match[str]) -> str:
        name, default = found.groups()
        if found[0] == "$${":
            return "${"
        if name is None:
            what = f"found {quoted(text)}; write ${{NAME}} or ${{NAME:-default}}, and $${{ for a literal ${{"
            report.add(path, what)
        elif default is None and not environ.get(name):
            what = f"the variable {name} is not set; set it, put it into .env beside the file, "
            report.add(path, f"{what}or write ${{{name}:-default}}")
        return environ.get(name or "") or default or ""

    expanded = _USE.sub(value, text)
    whole = _USE.fullmatch(text)
    return Expanded(expanded) if whole and whole[1] else expanded


def read_env_file(file: Path) -> dict[str, str]:
    """`NAME=value` lines, with quotes, comments and `export` as in a shell; empty when there is no such file.

    Raises TopologyError for a line that is none.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise TopologyError([one_line(f"{file}: cannot be read: {error}")]) from None
    variables = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        assignment = _ASSIGNMENT.fullmatch(line.strip())
        value = _value(assignment[2]) if assignment else None
        if assignment is None or value is None:
            raise TopologyError([one_line(f"{file}:{number}: expected NAME=value, found {quoted(line)}")])
        variables[assignment[1]] = value
    return variables


def _value(text: str) -> str | None:
    if text.startswith('"'):
        found = _DOUBLE.fullmatch(text)
        return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), found[1]) if found else None
    if text.startswith("'"):
        found = _SINGLE.fullmatch(text)
        return found[1] if found else None
    return re.sub(r"(^|\s+)#.*", "", text).strip()

"""`python -m dynamo_cli.topology.page docs/topology.md`: the page with its tables of keys made anew.

What stands between two marks is made of the kinds that read a topology, its typed values and the engines' options.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from dynamo_cli.topology.examples import DEFAULTS, EXAMPLES
from dynamo_cli.topology.fields import Kind, MapOf, Schema, Table
from dynamo_cli.topology.schema import MANAGED, TOPOLOGY, json_schema
from dynamo_cli.topology.show import toml_value
from dynamo_cli.workers.engines.base import EngineOptions
from dynamo_cli.workers.engines.registry import SPECS

MARKED = re.compile(r"(<!-- keys of (?P<part>\w+), made by `make topology` -->\n).*?(<!-- end -->\n)", re.S)
COMMON = "common"
TYPES = {"string": "text", "boolean": "true or false", "integer": "whole number", "number": "number"}


class Key(NamedTuple):
    """`path`: dotted, NAME for a name of the user's."""

    path: str
    schema: Schema
    default: str


def page(text: str) -> str:
    """The text with what is between the marks made anew."""
    return MARKED.sub(lambda found: f"{found[1]}\n{table(found['part'])}\n{found[3]}", text)


def table(part: str) -> str:
    """Of the topology itself (`topology`), of one of its tables, of what pools and services share, or of options."""
    if part == "options":
        return "\n".join(_options(name, spec.options_type) for name, spec in SPECS.items())
    head = "| key | type | default | meaning | example |\n|---|---|---|---|---|\n"
    return head + "".join(_row(key) for key in keys() if _part(key.path) == part)


def keys() -> Iterator[Key]:
    """Every key that a topology may hold, in the order of the schema."""
    extends = json_schema()["properties"]["extends"]
    yield Key("extends", extends, DEFAULTS["extends"])
    yield from _keys("", TOPOLOGY)


def _keys(prefix: str, table: Table) -> Iterator[Key]:
    properties = table.schema()["properties"]
    for name, kind in table.fields.items():
        path = f"{prefix}{name}"
        yield Key(path, properties[name], DEFAULTS.get(path) or DEFAULTS.get(name) or _default(table.make, name))
        inner = _inner(kind)
        if inner:
            yield from _keys(f"{path}.NAME." if isinstance(kind, MapOf) else f"{path}.", inner)


def _inner(kind: Kind) -> Table | None:
    """The table that a value of this kind is, may be, or holds."""
    if isinstance(kind, MapOf):
        return _inner(kind._item)
    if isinstance(kind, Table):
        return kind
    found = getattr(kind, "table", None)
    return found if isinstance(found, Table) else None


def _part(path: str) -> str:
    first, _, rest = path.partition(".")
    if first in ("workers", "services") and rest.removeprefix("NAME.").partition(".")[0] in MANAGED:
        return COMMON if first == "workers" else ""
    return first if rest or first not in ("name", "model", "extends") else "topology"


def _row(key: Key) -> str:
    shown = key.path.removeprefix("workers.NAME.") if _part(key.path) == COMMON else key.path
    example = EXAMPLES.get(key.path, "")
    cells = (
        f"`{shown}`",
        _type(key.schema),
        key.default,
        key.schema["description"],
        f"`{shown.rpartition('.')[2]} = {example}`" if example else "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _type(schema: Schema) -> str:
    if "anyOf" in schema:
        found = [_type(each) for each in schema["anyOf"] if not each.get("pattern", "").startswith(r"^\$")]
        return ", or ".join(dict.fromkeys(found))
    if "enum" in schema:
        return " ".join(f"`{word}`" for word in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object":
        return "table"
    return " or ".join(TYPES[each] for each in ([kind] if isinstance(kind, str) else kind or [])) + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    least, above, most = schema.get("minimum"), schema.get("exclusiveMinimum"), schema.get("maximum")
    from_ = "" if least is None else f" from {least}"
    from_ = from_ if above is None else f" above {above}"
    return from_ + (f" to {most}" if most is not None and most < 2**40 and most != 10**7 else "")


def _default(make: Any, name: str) -> str:
    """Of a struct's field, as TOML writes it; "" for none."""
    if not (isinstance(make, type) and issubclass(make, msgspec.Struct)):
        return ""
    field = next(field for field in msgspec.structs.fields(make) if field.name == name)
    value = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
    if value in (None, "", msgspec.NODEFAULT) or isinstance(value, msgspec.Struct):
        return ""
    return f"`{toml_value(list(value) if isinstance(value, tuple) else value)}`"


def _options(engine: str, options: type[EngineOptions]) -> str:
    fields = msgspec.structs.fields(options)
    if not fields:
        return ""
    types = msgspec.json.schema(options)["$defs"][options.__name__]["properties"]
    rows = "".join(f"| `{f.name}` | {_option_type(types[f.name])} | {_default(options, f.name)} |\n" for f in fields)
    words = " ".join((options.__doc__ or "").split())
    return f"`{engine}`: {words}\n\n| option | type | default |\n|---|---|---|\n{rows}"


def _option_type(schema: Schema) -> str:
    kinds = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return ", or ".join(_type(each) for each in kinds)


if __name__ == "__main__":
    sys.stdout.write(page(Path(sys.argv[1]).read_text()))

"""Finds what no JSON schema can say, before an engine silently makes nothing of it."""

from __future__ import annotations

from typing import Any

from dynamo_cli.errors import InvalidRequest

TYPES = frozenset(("object", "array", "string", "number", "integer", "boolean", "null"))
DEEPEST = 64
SCHEMAS = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")
NAMED_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
NUMBERS = ("minimum", "maximum", "multipleOf")


def check_schema(schema: Any, where: str) -> None:
    """Raises InvalidRequest: `<where>.properties.age.type: ...`."""
    if not isinstance(schema, dict):
        raise InvalidRequest(f"{where}: want a JSON schema, an object", where)
    _check(schema, where, 0)


def _check(schema: Any, where: str, depth: int) -> None:
    if isinstance(schema, bool):
        return
    _want(isinstance(schema, dict), where, "a JSON schema, an object")
    _want(depth < DEEPEST, where, f"no more than {DEEPEST} levels")
    _check_plain(schema, where)
    for name in SCHEMAS:
        if name in schema:
            _check(schema[name], f"{where}.{name}", depth + 1)
    for name in NAMED_SCHEMAS:
        members = schema.get(name, {})
        _want(isinstance(members, dict), f"{where}.{name}", "an object")
        for key, member in members.items():
            _check(member, f"{where}.{name}.{key}", depth + 1)
    for name in SCHEMA_LISTS:
        if name in schema:
            _want(isinstance(schema[name], list) and schema[name], f"{where}.{name}", "a list that is not empty")
            for at, member in enumerate(schema[name]):
                _check(member, f"{where}.{name}[{at}]", depth + 1)


def _check_plain(schema: dict[str, Any], where: str) -> None:
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        known = all(isinstance(kind, str) and kind in TYPES for kind in types)
        _want(types and known, f"{where}.type", ", ".join(sorted(TYPES)))
    if "enum" in schema:
        _want(isinstance(schema["enum"], list) and schema["enum"], f"{where}.enum", "a list that is not empty")
    if "required" in schema:
        names = schema["required"]
        _want(
            isinstance(names, list) and all(isinstance(n, str) for n in names), f"{where}.required", "a list of names"
        )
    for name in ("pattern", "$ref"):
        _want(isinstance(schema.get(name, ""), str), f"{where}.{name}", "a text")
    for name in COUNTS:
        count = schema.get(name, 0)
        _want(isinstance(count, int) and not isinstance(count, bool) and count >= 0, f"{where}.{name}", "a number >= 0")
    for name in NUMBERS:
        number = schema.get(name, 0)
        _want(isinstance(number, (int, float)) and not isinstance(number, bool), f"{where}.{name}", "a number")


def _want(holds: object, where: str, what: str) -> None:
    if not holds:
        raise InvalidRequest(f"{where}: want {what}", where)

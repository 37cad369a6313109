"""Checks `[workers.X.options]` against an engine's own options struct, every problem at once."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect

from dynamo_cli.errors import UsageError
from dynamo_cli.topology.words import found, listed, quoted, suggestion
from dynamo_cli.workers.engines.base import EngineOptions


def option_problems(options: dict[str, Any], of: type[EngineOptions]) -> list[tuple[str, str]]:
    """(option, what is wrong) of each; an option that is required and missing too."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(of)}
    problems = [(key, _unknown(key, list(fields))) for key in options if key not in fields]
    problems += [(key, "is required by this engine and missing") for key in _missing(options, of)]
    for key in options.keys() & fields.keys():
        problem = _value_problem(options[key], fields[key].type)
        if problem:
            problems.append((key, problem))
    return problems or _whole_problem(options, of)


def _unknown(key: str, known: list[str]) -> str:
    return f"unknown option{suggestion(key, known)}" if known else "unknown option; this engine has none"


def _missing(options: dict[str, Any], of: type[EngineOptions]) -> list[str]:
    required = [field.encode_name for field in msgspec.structs.fields(of) if field.required]
    return [key for key in required if key not in options]


def _value_problem(value: Any, annotation: Any) -> str | None:
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        kind = inspect.type_info(annotation)
        if _fits_kind(value, kind):
            return f"must be {expected(kind)}, found {_short(value)}"
        nested = " - at " in str(error)
        return f"expected {expected(kind)}{'; ' + _lower(error) if nested else ', found ' + found(value)}"
    return None


def _lower(error: Exception) -> str:
    text = str(error).replace("`", "")
    return text[:1].lower() + text[1:]


def _short(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else str(value)


def _fits_kind(value: Any, kind: inspect.Type) -> bool:
    """Whether only a limit was broken, not the type."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(kind, inspect.IntType):
        return number and isinstance(value, int)
    if isinstance(kind, inspect.FloatType):
        return number
    return isinstance(kind, inspect.StrType | inspect.LiteralType) and isinstance(value, str)


def _whole_problem(options: dict[str, Any], of: type[EngineOptions]) -> list[tuple[str, str]]:
    """What only the options together show."""
    try:
        msgspec.convert(options, of).checked()
    except (msgspec.ValidationError, UsageError) as error:
        return [("", _lower(error))]
    return []


def expected(kind: inspect.Type) -> str:
    """A type in words."""
    if isinstance(kind, inspect.Metadata):
        return expected(kind.type)
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.IntType):
        return f"a whole number{_limits(kind)}"
    if isinstance(kind, inspect.FloatType):
        return f"a number{_limits(kind)}"
    if isinstance(kind, inspect.StrType):
        return "text" if not kind.min_length else "text that is not empty"
    if isinstance(kind, inspect.LiteralType):
        return f"one of {listed(quoted(str(value)) for value in kind.values)}"
    if isinstance(kind, inspect.UnionType):
        return " or ".join(expected(choice) for choice in kind.types if not isinstance(choice, inspect.NoneType))
    if isinstance(kind, inspect.ListType | inspect.VarTupleType):
        return f"a list of {_plural(kind.item_type)}"
    return "a table" if isinstance(kind, inspect.DictType | inspect.StructType) else "another type"


def _plural(kind: inspect.Type) -> str:
    return {"text": "texts", "a whole number": "whole numbers", "a number": "numbers"}.get(expected(kind), "values")


def _limits(kind: inspect.IntType | inspect.FloatType) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    limits = [f"{word} {getattr(kind, name)}" for name, word in words.items() if getattr(kind, name) is not None]
    return f" of {' and '.join(limits)}" if limits else ""

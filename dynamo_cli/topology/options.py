"""Checks `[workers.X.options]` against an engine's own options struct, every problem at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

import msgspec
from msgspec import inspect

from dynamo_cli.errors import UsageError
from dynamo_cli.topology.positions import KeyPath
from dynamo_cli.topology.words import found, listed, quoted, suggestion
from dynamo_cli.workers.engines.base import EngineOptions

OptionProblem = tuple[KeyPath, str]
"""The path below `options` and what is wrong there."""


def option_problems(options: dict[str, Any], of: type[EngineOptions]) -> list[OptionProblem]:
    """Those of each option, of required ones that are missing, or else of all the options together."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(of)}
    problems: list[OptionProblem] = [((key,), _unknown(key, list(fields))) for key in options if key not in fields]
    problems += [((key,), "is required by this engine and missing") for key in _missing(options, of)]
    for key, value in options.items():
        if key in fields:
            problems += _value_problems((key,), value, fields[key].type)
    return problems or _whole_problem(options, of)


def _unknown(key: str, known: list[str]) -> str:
    return f"unknown option{suggestion(key, known)}" if known else "unknown option; this engine has none"


def _missing(options: dict[str, Any], of: type[EngineOptions]) -> list[str]:
    required = [field.encode_name for field in msgspec.structs.fields(of) if field.required]
    return [key for key in required if key not in options]


def _value_problems(path: KeyPath, value: Any, annotation: Any) -> Iterator[OptionProblem]:
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        kind = _unwrapped(inspect.type_info(annotation))
        if isinstance(value, list) and isinstance(kind, inspect.ListType):
            yield from _list_problems(path, value, annotation, kind)
        elif _fits_kind(value, kind):
            yield path, f"must be {expected(kind)}, found {_short(value)}"
        elif " - at " in str(error):
            yield path, f"expected {expected(kind)}; {_lower(error)}"
        else:
            yield path, f"expected {expected(kind)}, found {found(value)}"


def _list_problems(path: KeyPath, items: list[Any], annotation: Any, kind: inspect.ListType) -> Iterator[OptionProblem]:
    if len(items) < (kind.min_length or 0):
        yield path, "must not be empty" if kind.min_length == 1 else f"must hold {kind.min_length} values or more"
    of = next(part for part in _parts(annotation) if get_origin(part) is list)
    for index, item in enumerate(items):
        yield from _value_problems((*path, index), item, get_args(of)[0])


def _parts(annotation: Any) -> Iterator[Any]:
    """An annotation and what it is made of, outermost first."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _unwrapped(kind: inspect.Type) -> inspect.Type:
    """The one type of `X | None`."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        choices = [choice for choice in kind.types if not isinstance(choice, inspect.NoneType)]
        return choices[0] if len(choices) == 1 else kind
    return kind


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


def _whole_problem(options: dict[str, Any], of: type[EngineOptions]) -> list[OptionProblem]:
    """What only the options together show."""
    try:
        msgspec.convert(options, of).checked()
    except (msgspec.ValidationError, UsageError) as error:
        return [((), _lower(error))]
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

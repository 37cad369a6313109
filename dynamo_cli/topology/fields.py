"""Kinds of values a topology holds: each reads a TOML value or reports what is wrong with it."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from dynamo_cli.topology.positions import KeyPath
from dynamo_cli.topology.report import Report
from dynamo_cli.topology.words import found, listed, nearest, quoted, suggestion

INVALID: Final = object()
Check = Callable[[str], "str | None"]
Schema = dict[str, Any]
"""A JSON schema, draft 2020-12."""


class Expanded(str):
    """A text that is nothing but one `${VARIABLE}`: it may stand for a number or a truth value too."""


def plain(value: Any) -> Any:
    """What an expanded text stands for where something else than text is expected; any other value as it is."""
    if not isinstance(value, Expanded):
        return value
    if value in ("true", "false"):
        return value == "true"
    if re.fullmatch(r"[+-]?\d+", value):
        return int(value)
    if re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", value):
        return float(value)
    return str(value)


def _or_variable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "string", "pattern": r"^\$\{.*\}$"}]}


class Kind(ABC):
    @abstractmethod
    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        """The typed value, or INVALID after reporting why."""

    @abstractmethod
    def schema(self) -> Schema:
        """The same as JSON schema, as far as that can say it."""


def wrong(expected: str, value: Any, path: KeyPath, report: Report) -> Any:
    hint = f"; write '{quoted(str(value))}'" if _is_bare_text(expected, value, path, report) else ""
    report.add(path, f"expected {expected}, found {found(value)}{hint}")
    return INVALID


def _is_bare_text(expected: str, value: Any, path: KeyPath, report: Report) -> bool:
    return expected == "text" and isinstance(value, int | float) and report.places.is_set(path)


class Text(Kind):
    """Text that is not empty. `check` says what is wrong with a value, or None."""

    def __init__(self, check: Check | None = None, *, empty: bool = False) -> None:
        self._check = check
        self._empty = empty

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if not isinstance(value, str):
            return wrong("text", value, path, report)
        value = str(value)
        problem = "must not be empty" if not value and not self._empty else None
        if value and "\0" in value:
            problem = "must not hold a zero byte"
        problem = problem or (self._check(value) if self._check and value else None)
        if problem:
            report.add(path, problem)
            return INVALID
        return value

    def schema(self) -> Schema:
        return {"type": "string"} if self._empty else {"type": "string", "minLength": 1}


class Flag(Kind):
    """true or false."""

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        value = plain(value)
        return value if isinstance(value, bool) else wrong("true or false", value, path, report)

    def schema(self) -> Schema:
        return _or_variable({"type": "boolean"})


class OneOf(Kind):
    """One of a few words. `later`: words known from the field that this release does not serve."""

    def __init__(self, words: Collection[str], what: str, later: Collection[str] = ()) -> None:
        self._words = words
        self._what = what
        self._later = later

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if not isinstance(value, str):
            return wrong("text", value, path, report)
        if value in self._words:
            return str(value)
        if value in self._later:
            report.add(path, f"{self._what} {quoted(value)} is not available yet; use {listed(self._words)}")
        else:
            known = [*self._words, *self._later] if nearest(value, self._words) is None else self._words
            report.add(path, f"unknown {self._what} {quoted(value)}{suggestion(value, known)}")
        return INVALID

    def schema(self) -> Schema:
        return {"enum": list(self._words)}


class Whole(Kind):
    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return wrong("a whole number", value, path, report)
        if not self._least <= value <= self._most:
            report.add(path, f"must be between {self._least} and {self._most}, found {_short(value)}")
            return INVALID
        return value

    def schema(self) -> Schema:
        return _or_variable({"type": "integer", "minimum": self._least, "maximum": self._most})


def _short(value: int | float) -> str:
    return found(value).removeprefix("the ").removeprefix("whole ").removeprefix("number ")


class Seconds(Kind):
    """A time in seconds, more than 0 unless `zero`."""

    def __init__(self, *, zero: bool = False) -> None:
        self._zero = zero

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return wrong("a number of seconds", value, path, report)
        if not 0 <= value <= 10**7 or math.isnan(value) or (value == 0 and not self._zero):
            least = "0 or more" if self._zero else "more than 0"
            report.add(path, f"must be {least} seconds and at most 10000000, found {_short(value)}")
            return INVALID
        return float(value)

    def schema(self) -> Schema:
        return _or_variable({"type": "number", "minimum" if self._zero else "exclusiveMinimum": 0, "maximum": 10**7})


class Share(Kind):
    """A part of a whole, or up to `most` times the whole."""

    def __init__(self, most: int = 1) -> None:
        self._most = most

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return wrong(f"a number from 0 to {self._most}", value, path, report)
        if not 0 <= value <= self._most:
            report.add(path, f"must be between 0 and {self._most}, found {_short(value)}")
            return INVALID
        return float(value)

    def schema(self) -> Schema:
        return _or_variable({"type": "number", "minimum": 0, "maximum": self._most})


class ListOf(Kind):
    def __init__(self, item: Kind, what: str) -> None:
        self._item = item
        self._what = what

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if not isinstance(value, list):
            return wrong(f"a list of {self._what}", value, path, report)
        items = [self._item.read(item, (*path, index), report) for index, item in enumerate(value)]
        return INVALID if INVALID in items else tuple(items)

    def schema(self) -> Schema:
        return {"type": "array", "items": self._item.schema()}


class MapOf(Kind):
    """A table whose keys the user chooses. `check` says what is wrong with a key, or None."""

    def __init__(self, item: Kind, check: Check | None = None) -> None:
        self._item = item
        self._check = check

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if not isinstance(value, dict):
            return wrong("a table", value, path, report)
        read = {}
        for key, item in value.items():
            problem = self._check(key) if self._check else None
            if problem:
                report.add((*path, key), problem)
            got = self._item.read(item, (*path, key), report)
            if got is not INVALID:
                read[key] = got
        return read

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": self._item.schema()}


class Anything(Kind):
    """A table that is checked elsewhere."""

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        return _plain_all(value) if isinstance(value, dict) else wrong("a table", value, path, report)

    def schema(self) -> Schema:
        return {"type": "object"}


def _plain_all(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain_all(item) for key, item in value.items()}
    return [_plain_all(item) for item in value] if isinstance(value, list) else plain(value)


class Table(Kind):
    """A table with known keys. A broken value counts as not given, so that the rest can still be checked.

    `later`: keys of the field that this release does not serve, refused by name. `docs`: each key in a line.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        fields: Mapping[str, Kind],
        later: Collection[str] = (),
        docs: Mapping[str, str] | None = None,
    ) -> None:
        self.make = make
        self.fields = fields
        self.later = later
        self.docs = docs or {}

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if not isinstance(value, dict):
            return wrong("a table", value, path, report)
        values = {}
        for key, item in value.items():
            if key in self.fields:
                got = self.fields[key].read(item, (*path, key), report)
                if got is not INVALID:
                    values[key] = got
            else:
                report.add((*path, key), self._refusal(key, report.homes))
        return self.make(**values)

    def schema(self) -> Schema:
        properties = {key: _described(kind.schema(), self.docs.get(key, "")) for key, kind in self.fields.items()}
        return {"type": "object", "additionalProperties": False, "properties": properties}

    def _refusal(self, key: str, homes: Mapping[str, str]) -> str:
        if key in self.later:
            return "not available yet in this release; leave it out"
        near = nearest(key, self.fields, alike=0.7) or nearest(key, [*self.fields, *homes])
        if near is not None and near not in self.fields:
            return f"unknown key; did you mean {homes[near]}"
        return f"unknown key{suggestion(key, self.fields)}"


def _described(schema: Schema, words: str) -> Schema:
    return {"description": words, **schema} if words else schema

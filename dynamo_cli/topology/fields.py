"""Kinds of values a topology holds: each reads a TOML value or reports what is wrong with it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from dynamo_cli.topology.positions import KeyPath
from dynamo_cli.topology.report import Report
from dynamo_cli.topology.words import found, listed, nearest, quoted, suggestion

INVALID: Final = object()
Check = Callable[[str], "str | None"]


class Kind(ABC):
    @abstractmethod
    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        """The typed value, or INVALID after reporting why."""


def _wrong(expected: str, value: Any, path: KeyPath, report: Report) -> Any:
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
            return _wrong("text", value, path, report)
        problem = "must not be empty" if not value and not self._empty else None
        if value and "\0" in value:
            problem = "must not hold a zero byte"
        problem = problem or (self._check(value) if self._check and value else None)
        if problem:
            report.add(path, problem)
            return INVALID
        return value


class OneOf(Kind):
    """One of a few words. `later`: words known from the field that this release does not serve."""

    def __init__(self, words: Collection[str], what: str, later: Collection[str] = ()) -> None:
        self._words = words
        self._what = what
        self._later = later

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if not isinstance(value, str):
            return _wrong("text", value, path, report)
        if value in self._words:
            return value
        if value in self._later:
            report.add(path, f"{self._what} {quoted(value)} is not available yet; use {listed(self._words)}")
        else:
            known = [*self._words, *self._later] if nearest(value, self._words) is None else self._words
            report.add(path, f"unknown {self._what} {quoted(value)}{suggestion(value, known)}")
        return INVALID


class Whole(Kind):
    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            return _wrong("a whole number", value, path, report)
        if not self._least <= value <= self._most:
            report.add(path, f"must be between {self._least} and {self._most}, found {_plain(value)}")
            return INVALID
        return value


def _plain(value: int | float) -> str:
    return found(value).removeprefix("the ").removeprefix("whole ").removeprefix("number ")


class Seconds(Kind):
    """A time in seconds, more than 0 unless `zero`."""

    def __init__(self, *, zero: bool = False) -> None:
        self._zero = zero

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return _wrong("a number of seconds", value, path, report)
        if not 0 <= value <= 10**7 or math.isnan(value) or (value == 0 and not self._zero):
            least = "0 or more" if self._zero else "more than 0"
            report.add(path, f"must be {least} seconds and at most 10000000, found {_plain(value)}")
            return INVALID
        return float(value)


class Share(Kind):
    """A part of a whole, from 0 to 1."""

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return _wrong("a number from 0 to 1", value, path, report)
        if not 0 <= value <= 1:
            report.add(path, f"must be between 0 and 1, found {_plain(value)}")
            return INVALID
        return float(value)


class ListOf(Kind):
    def __init__(self, item: Kind, what: str) -> None:
        self._item = item
        self._what = what

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if not isinstance(value, list):
            return _wrong(f"a list of {self._what}", value, path, report)
        items = [self._item.read(item, (*path, index), report) for index, item in enumerate(value)]
        return INVALID if INVALID in items else tuple(items)


class MapOf(Kind):
    """A table whose keys the user chooses. `check` says what is wrong with a key, or None."""

    def __init__(self, item: Kind, check: Check | None = None) -> None:
        self._item = item
        self._check = check

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if not isinstance(value, dict):
            return _wrong("a table", value, path, report)
        read = {}
        for key, item in value.items():
            problem = self._check(key) if self._check else None
            if problem:
                report.add((*path, key), problem)
            got = self._item.read(item, (*path, key), report)
            if got is not INVALID:
                read[key] = got
        return read


class Anything(Kind):
    """A table that is checked elsewhere."""

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        return value if isinstance(value, dict) else _wrong("a table", value, path, report)


class Table(Kind):
    """A table with known keys. A broken value counts as not given, so that the rest can still be checked.

    `later`: keys of the field that this release does not serve, refused by name.
    """

    def __init__(self, make: Callable[..., Any], fields: Mapping[str, Kind], later: Collection[str] = ()) -> None:
        self.make = make
        self.fields = fields
        self.later = later

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if not isinstance(value, dict):
            return _wrong("a table", value, path, report)
        values = {}
        for key, item in value.items():
            if key in self.fields:
                got = self.fields[key].read(item, (*path, key), report)
                if got is not INVALID:
                    values[key] = got
            else:
                report.add((*path, key), self._refusal(key, report.homes))
        return self.make(**values)

    def _refusal(self, key: str, homes: Mapping[str, str]) -> str:
        if key in self.later:
            return "not available yet in this release; leave it out"
        near = nearest(key, self.fields, alike=0.7) or nearest(key, [*self.fields, *homes])
        if near is not None and near not in self.fields:
            return f"unknown key; did you mean {homes[near]}"
        return f"unknown key{suggestion(key, self.fields)}"

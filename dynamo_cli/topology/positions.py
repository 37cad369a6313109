"""The line of every key of a TOML document. The parser of the standard library keeps no positions.

Only documents that tomllib accepts are scanned, so the scanner reads structure and validates nothing.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KeyPath = tuple[str | int, ...]

_STRING = re.compile(
    r'''"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}|\'\'\'(?:[^']|'{1,2}(?!'))*'{3,5}|"(?:[^"\\]|\\.)*"|'[^']*\'''',
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}#\r\n]+")


def key_lines(text: str) -> dict[KeyPath, int]:
    """Path of each key, table and array element -> the line, from 1, on which it first stands."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


def split_key(text: str) -> tuple[tuple[str, ...], int]:
    """The parts of the dotted key that begins `text`, and where it ends; ValueError when there is none."""
    scanner = _Scanner(text)
    keys = scanner.key()
    return tuple(name for name, _ in keys), scanner.at


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self._arrays: dict[KeyPath, int] = {}
        self._newlines = [match.start() for match in re.finditer("\n", text)]

    def document(self) -> None:
        table: KeyPath = ()
        self._skip(_BETWEEN)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BETWEEN)

    def key(self) -> list[tuple[str, int]]:
        parts = []
        while True:
            self._skip(_BLANK)
            start = self.at
            parts.append((self._simple_key(), start))
            self._skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def _simple_key(self) -> str:
        quoted = self.text[self.at : self.at + 1] in ('"', "'")
        match = (_STRING if quoted else _BARE_KEY).match(self.text, self.at)
        if match is None:
            raise ValueError(f"no key at {self.at}")
        self.at = match.end()
        return str(tomllib.loads(f"key = {match[0]}")["key"]) if quoted else match[0]

    def _header(self) -> KeyPath:
        of_array = self.text.startswith("[[", self.at)
        self.at += 2 if of_array else 1
        keys = self.key()
        self.at += 2 if of_array else 1
        path: KeyPath = ()
        for position, (name, start) in enumerate(keys):
            path = (*path, name)
            self._mark(path, start)
            last = position == len(keys) - 1
            if last and of_array:
                self._arrays[path] = self._arrays.get(path, 0) + 1
            if path in self._arrays:
                path = (*path, self._arrays[path] - 1)
                self._mark(path, start)
        return path

    def _pair(self, table: KeyPath) -> None:
        path = table
        for name, start in self.key():
            path = (*path, name)
            self._mark(path, start)
        self.at += 1
        self._skip(_BLANK)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        opening = self.text[self.at]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            self._skip(_STRING if opening in "\"'" else _SCALAR)

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        self._skip(_BETWEEN)
        index = 0
        while self.text[self.at] != "]":
            self._mark((*path, index), self.at)
            self._value((*path, index))
            self._skip(_BETWEEN)
            index += 1
        self.at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        self._skip(_BETWEEN)
        while self.text[self.at] != "}":
            self._pair(path)
            self._skip(_BETWEEN)
        self.at += 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def _mark(self, path: KeyPath, offset: int) -> None:
        self.lines.setdefault(path, bisect_right(self._newlines, offset) + 1)

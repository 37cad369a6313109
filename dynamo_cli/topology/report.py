"""Collects the problems of a topology, each with the place it stands at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dynamo_cli.errors import TopologyError
from dynamo_cli.topology.positions import KeyPath
from dynamo_cli.topology.words import dotted, one_line


class Setting(NamedTuple):
    """One `--set KEY=VALUE`: `key` as typed, and its path."""

    key: str
    path: KeyPath


class Place(NamedTuple):
    file: str
    line: int


class Places:
    """Where each key of a topology was written: a line of a file, or a --set argument.

    `file` is the topology; those it extends may have written some of the keys.
    """

    def __init__(self, file: str, lines: Mapping[KeyPath, Place] | None = None) -> None:
        self.file = file
        self.lines = lines or {}
        self.settings: list[Setting] = []

    def locate(self, path: KeyPath) -> tuple[tuple[int, str, int], str]:
        """Sort key and prefix of a problem at `path`; one of a missing key stands at its table."""
        for number, setting in reversed(list(enumerate(self.settings))):
            within = path[: len(setting.path)] == setting.path
            made = path not in self.lines and setting.path[: len(path)] == path and path
            if within or made:
                rest = "" if path == setting.path else f"{dotted(path)}: "
                return (2, "", number), f"--set {setting.key}: {rest}"
        at = self.place(path)
        order = (0, "", at.line) if at.file == self.file else (1, at.file, at.line)
        return order, f"{at.file}:{at.line}: {dotted(path)}: "

    def place(self, path: KeyPath) -> Place:
        """The line of `path` or of the innermost table around it, in the file that wrote it."""
        sizes = range(len(path), 0, -1)
        return next((self.lines[path[:size]] for size in sizes if path[:size] in self.lines), Place(self.file, 1))

    def is_set(self, path: KeyPath) -> bool:
        """Whether the value at `path` came from a --set argument."""
        return self.locate(path)[0][0] == 2


class Report:
    def __init__(self, places: Places, homes: Mapping[str, str] | None = None) -> None:
        """`homes`: for a key name, the full path it is valid at, to suggest to who wrote it elsewhere."""
        self.places = places
        self.homes = homes or {}
        self._problems: list[tuple[tuple[int, str, int], str]] = []
        self._paths: set[KeyPath] = set()

    def add(self, path: KeyPath, what: str) -> None:
        order, prefix = self.places.locate(path)
        self._problems.append((order, one_line(prefix + what)))
        self._paths.add(path)

    def touches(self, path: KeyPath) -> bool:
        """Whether a problem is already known at or below `path`: then nothing follows from its value."""
        return any(known[: len(path)] == path for known in self._paths)

    def lines(self) -> list[str]:
        return [text for _, text in sorted(self._problems, key=lambda problem: problem[0])]

    def raise_problems(self) -> None:
        """Raise TopologyError when there is any problem."""
        if self._problems:
            raise TopologyError(self.lines())

"""What Tab offers: commands, models, files, settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

Words = Callable[[str], Iterable[str]]
"""The words an argument may be, given what is typed of it."""


def complete(line: str, arguments: Mapping[str, Words | None]) -> list[str]:
    """The candidates for the last word of `line`. `arguments`: by command, None for one that takes none."""
    command, blank, rest = line.partition(" ")
    if not command.startswith("/"):
        return []
    if not blank:
        return [name + (" " if arguments[name] else "") for name in sorted(arguments) if name.startswith(command)]
    words = arguments.get(command)
    if words is None or " " in rest:
        return []
    return sorted(word for word in words(rest) if word.startswith(rest))


def files(typed: str) -> list[str]:
    """The files and directories whose path begins so; a directory ends in a slash."""
    directory, slash, start = typed.rpartition("/")
    folder = Path(directory + slash).expanduser() if slash else Path()
    try:
        entries = [entry for entry in os.scandir(folder) if entry.name.startswith(start)]
    except OSError:
        return []
    hidden = start.startswith(".")
    shown = [entry for entry in entries if hidden or not entry.name.startswith(".")]
    return [f"{directory}{slash}{entry.name}{'/' if entry.is_dir() else ''}" for entry in shown]

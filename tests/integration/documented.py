"""The command lines of a Markdown file: those of its `sh` blocks, and those named in its text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
MENTION = re.compile(r"`(dynamo [^`]+)`")


class Command(NamedTuple):
    """`where` is file:line. `text` may hold several lines when a quotation does."""

    where: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)


def block_commands(file: Path) -> Iterator[list[Command]]:
    """The commands of each `sh` block."""
    text = file.read_text()
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1)) + 1
        yield list(_split(file.name, line, block[1]))


def typed(file: Path) -> Iterator[Command]:
    """What its `console` blocks show as typed: the lines behind `$ `."""
    text = file.read_text()
    for block in CONSOLE.finditer(text):
        line = text.count("\n", 0, block.start(1)) + 1
        for number, shown in enumerate(block[1].splitlines(), line):
            if shown.startswith("$ "):
                yield Command(f"{file.name}:{number}", shown.removeprefix("$ "))


def mentions(file: Path) -> Iterator[Command]:
    """Every `dynamo …` that the text outside of the blocks names."""
    text = BLOCK.sub(lambda block: "\n" * block[0].count("\n"), file.read_text())
    for mention in MENTION.finditer(text):
        yield Command(f"{file.name}:{text.count(chr(10), 0, mention.start()) + 1}", mention[1])


def _split(name: str, line: int, text: str) -> Iterator[Command]:
    """Commands end at a line's end, unless it ends in a backslash or within a quotation."""
    held, began = "", line
    for number, part in enumerate(text.splitlines(), line):
        held = f"{held}\n{part}" if held else part
        began = began if "\n" in held else number
        if held.endswith("\\") or not _complete(held):
            continue
        if shlex.split(held, comments=True):
            yield Command(f"{name}:{began}", held)
        held = ""


def _complete(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True

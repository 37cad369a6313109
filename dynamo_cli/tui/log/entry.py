"""One line of a log as it is shown."""

from __future__ import annotations

import re
from typing import NamedTuple

from dynamo_cli.logs.tail import Line

ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
TAB = 4


class Entry(NamedTuple):
    """`number`: its place in the order of arrival. `level`: as `logging` counts; None for words of ours, not a line."""

    number: int
    service: str
    text: str
    level: int | None
    time: str = ""


def readable(line: Line) -> str:
    """Its text without what would move a terminal's cursor: of a bar that was drawn anew again and again the last."""
    text = line.text
    if "\r" in text:
        text = text.rstrip("\r").rpartition("\r")[2]
    if "\x1b" in text:
        text = ESCAPE.sub("", text)
    text = text.expandtabs(TAB) if "\t" in text else text
    return text if text.isprintable() else CONTROL.sub("\ufffd", text)

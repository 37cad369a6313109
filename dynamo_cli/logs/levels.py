"""The level of a log line, whoever wrote it."""

from __future__ import annotations

import json
import logging
import re

NAMES = {
    "trace": logging.DEBUG - 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "err": logging.ERROR,
    "critical": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}
HEAD = 120
"""Characters of a line in which its level stands."""
WORD = re.compile(r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)\b")
LETTER = re.compile(r"^(?:[\d.:, -]*)([DIWEF])(?=[ \d])")
"""llama.cpp's and glog's: `0.00.123 W text`, `E0102 ...`."""
LETTERS = {"D": "debug", "I": "info", "W": "warning", "E": "error", "F": "fatal"}
QUOTED = re.compile(r'"level(?:name)?"\s*:\s*"(\w+)"', re.IGNORECASE)
UVICORN = re.compile(r"^(debug|info|warning|error|critical):\s", re.IGNORECASE)


class Levels:
    """The level of one line after another: one that says none belongs to the line before it of the same service."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def of(self, service: str, text: str) -> int:
        level = level_of(text)
        if level is None:
            return self._last.get(service, NAMES["info"])
        self._last[service] = level
        return level


def level_of(text: str) -> int | None:
    """As `logging` counts; None for a line that says none: it belongs to the one before."""
    if text.startswith("{"):
        return _of_json(text)
    head = text[:HEAD]
    found = UVICORN.match(head) or WORD.search(head)
    if found:
        return NAMES[found[1].lower()]
    letter = LETTER.match(head)
    return NAMES[LETTERS[letter[1]]] if letter else None


def _of_json(text: str) -> int | None:
    found = QUOTED.search(text)
    if found:
        return NAMES.get(found[1].lower())
    try:
        return NAMES.get(str(json.loads(text).get("severity", "")).lower())
    except (ValueError, AttributeError):
        return None

"""How problems are worded: keys, values and the nearest right word."""

from __future__ import annotations

import datetime
import difflib
import json
import re
from collections.abc import Iterable
from typing import Any

from dynamo_cli.topology.positions import KeyPath

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_QUOTE = 60


def dotted(path: KeyPath) -> str:
    """A key path as TOML writes it, array indexes in brackets."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += ("." if shown else "") + (part if _BARE.fullmatch(part) else quoted(part))
    return shown


def quoted(text: str) -> str:
    """Text on one line, in double quotes, shortened when long."""
    shown = json.dumps(text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "...", ensure_ascii=False)
    return one_line(shown)


def one_line(text: str) -> str:
    """Text without newlines and whatever else a terminal would obey."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def found(value: Any) -> str:
    """A TOML value in words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"text {quoted(value)}"
    if isinstance(value, int):
        return f"the whole number {value}" if abs(value) < 10**30 else "a very large whole number"
    if isinstance(value, float):
        return f"the number {value}"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, datetime.time):
        return "a time"
    return "a date"


def nearest(word: str, known: Iterable[str], alike: float = 0.6) -> str | None:
    """The known word that `word` was probably meant to be; `alike` is difflib's ratio, 1 for equal words."""
    plain = {name.lower().replace("-", "_"): name for name in known}
    word = word.lower().replace("-", "_")
    longer = [name for name in plain if len(word) > 2 and name.startswith(word)]
    close = longer if len(longer) == 1 else difflib.get_close_matches(word, plain, n=1, cutoff=alike)
    return plain[close[0]] if close else None


def listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean X`, else `; known here: ...`, to stand behind a problem."""
    known = list(known)
    near = nearest(word, known)
    return f"; did you mean {near}" if near else f"; known here: {listed(known)}"

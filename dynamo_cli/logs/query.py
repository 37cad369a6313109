"""Which lines somebody wants to see, and how they are written. Pure."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from dynamo_cli.errors import UsageError
from dynamo_cli.logs.levels import NAMES, Levels, level_of
from dynamo_cli.logs.moment import moment
from dynamo_cli.logs.tail import Line


class Query(NamedTuple):
    """`since` and `until` are stamps; `level` the least, as `logging` counts. `tail`: the last so many of a service."""

    since: str = ""
    until: str = ""
    pattern: re.Pattern[str] | None = None
    level: int | None = None
    tail: int | None = None

    @property
    def takes_all(self) -> bool:
        """Whether no line is left out for what it is."""
        return not (self.since or self.until or self.pattern) and self.level is None


def make_query(
    *, since: str | None, until: str | None, grep: str | None, level: str | None, tail: int | None, now: datetime
) -> Query:
    """From what was typed. UsageError for what is no time, no pattern or no level."""
    if level is not None and level.lower() not in NAMES:
        raise UsageError(f"--level {level}: expected one of {', '.join(NAMES)}")
    try:
        pattern = re.compile(grep) if grep is not None else None
    except re.error as error:
        raise UsageError(f"--grep {grep}: not a regular expression: {error}") from None
    return Query(
        moment(since, "--since", now) if since is not None else "",
        moment(until, "--until", now) if until is not None else "",
        pattern,
        NAMES[level.lower()] if level is not None else None,
        tail,
    )


class Filter:
    """A line without a level or a stamp of its own belongs to the line before it of the same service."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._levels = Levels()
        self._times: dict[str, str] = {}

    def wants(self, line: Line) -> bool:
        query = self._query
        if query.level is not None and self._levels.of(line.service, line.text) < query.level:
            return False
        if query.since or query.until:
            time = self._times[line.service] = line.time or self._times.get(line.service, "")
            if time < query.since or (query.until and time > query.until):
                return False
        return query.pattern is None or query.pattern.search(line.text) is not None


def last_of_each(lines: Iterable[Line], count: int) -> Iterator[Line]:
    """The last `count` lines of every service, in their order."""
    kept: dict[str, deque[tuple[int, Line]]] = {}
    for number, line in enumerate(lines):
        kept.setdefault(line.service, deque(maxlen=count)).append((number, line))
    yield from (line for _, line in sorted(item for lines in kept.values() for item in lines))


def writer(as_json: bool, timestamps: bool, width: int) -> Callable[[Line], str]:
    """How a line is written: `decode-0 | text`, with its time in front, or as a JSON object."""
    if as_json:
        return lambda line: json.dumps(
            {"time": line.time, "service": line.service, "level": level_name(line.text), "text": line.text},
            ensure_ascii=False,
        )
    if timestamps:
        return lambda line: f"{line.time or '-':<24} {line.service.ljust(width)} | {line.text}"
    return lambda line: f"{line.service.ljust(width)} | {line.text}"


def level_name(text: str) -> str | None:
    level = level_of(text)
    return next((name for name, value in NAMES.items() if value == level), None)

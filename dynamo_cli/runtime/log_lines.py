"""How one record of `logging` is written: as text or as a JSON object a line, secrets covered."""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from dynamo_cli.runtime.context import current_context
from dynamo_cli.runtime.redact import redact
from dynamo_cli.runtime.trail import Trail

_PARENT = f"{Path(__file__).parents[2]}/"


class TextLines(logging.Formatter):
    """Local time. A line about a request that does not name it ends with its x-request-id."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        line, trail = super().formatMessage(record), _trail(record)
        return line if trail is None or trail.request_id in line else f"{line} request={trail.request_id}"

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class JsonLines(logging.Formatter):
    """The reference's fields. `local`: times of this machine's zone instead of UTC."""

    def __init__(self, local: bool = False) -> None:
        super().__init__()
        self._local = local

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": rfc3339(record.created, local=self._local),
            "level": record.levelname,
            "target": record.name,
            "file": record.pathname.removeprefix(_PARENT),
            "line": record.lineno,
            "message": redact(record.getMessage()),
        }
        if (trail := _trail(record)) is not None:
            fields |= ids_of(trail)
        if record.exc_info:
            fields["exception"] = redact(self.formatException(record.exc_info))
        import json  # few want such lines, and every process would wait for it

        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


class StampedLines(logging.Formatter):
    """Each line begins with its time as the log keeper writes it."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        at = rfc3339(record.created, 3)
        return "\n".join(f"{at} {line}" for line in self._inner.format(record).splitlines())


def ids_of(trail: Trail) -> dict[str, str]:
    """The fields that tell which request a line is about."""
    return {"x_request_id": redact(trail.request_id), "trace_id": trail.trace_id, "span_id": trail.span_id}


def rfc3339(seconds: float, digits: int = 6, *, local: bool = False) -> str:
    """Of a time since the epoch, with so many digits of its fraction."""
    whole = int(seconds)
    moment, zone = _second(whole, local)
    return f"{moment}.{int((seconds - whole) * 10**digits):0{digits}d}{zone}"


@lru_cache(4)
def _second(whole: int, local: bool) -> tuple[str, str]:
    moment = time.localtime(whole) if local else time.gmtime(whole)
    minutes = moment.tm_gmtoff // 60
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}" if local else "Z"
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment), zone


def _trail(record: logging.LogRecord) -> Trail | None:
    """The one it was given as `extra`, else that of the running task."""
    given: Trail | None = getattr(record, "trail", None)
    context = current_context.get()
    return given if given is not None or context is None else context.trail

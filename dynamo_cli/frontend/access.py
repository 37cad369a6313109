"""One line in the log for each request that asked for something, when it is over."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from time import localtime, strftime, time
from typing import Any, NamedTuple

import msgspec

from dynamo_cli.frontend.record import Record, status_of
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.http.request import REQUEST_ID, Request
from dynamo_cli.runtime.log_lines import ids_of, rfc3339
from dynamo_cli.runtime.logs import LogSettings
from dynamo_cli.runtime.redact import redact

LOGGER = "dynamo.access"
WAIT_S, MOST_WAITING = 0.1, 64
"""How long a line may wait for others, and for how many."""
LONGEST_PATH = 200
_FILE = "dynamo_cli/frontend/access.py"
_encode = msgspec.json.encode


class Line(NamedTuple):
    """What a line will say. `at`: seconds since the epoch; `took_s`: how long it took."""

    request: Request
    status: int
    record: Record | None
    at: float
    took_s: float


class AccessLog:
    """Lines are written past `logging`, which costs three times as much, and many together: each write wakes whoever
    reads the log. Below the level of this logger there is no access log at all, see `access_log`.

    What only looks (GET and the like), and what the supervisor asks, has no line.
    """

    def __init__(self, settings: LogSettings, write: Callable[[str], object]) -> None:
        self._written = partial(_as_json, local=settings.local) if settings.as_json else _as_text
        self._write = write
        self._lines: list[Line] = []

    def ended(self, exchange: Exchange, record: Record | None) -> None:
        request, lines = exchange.request, self._lines
        if request.method != "POST" or request.trusted:
            return
        lines.append(Line(request, status_of(exchange), record, time(), 0.0 if record is None else record.duration_s))
        if len(lines) == 1:
            asyncio.get_running_loop().call_later(WAIT_S, self.flush)
        elif len(lines) == MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            self._write("\n".join([*map(self._written, lines), ""]))


_LINE = AccessLog.ended.__code__.co_firstlineno


def access_log(settings: LogSettings) -> AccessLog | None:
    """On stderr; None when its level is not wanted."""
    return AccessLog(settings, _to_stderr) if logging.getLogger(LOGGER).isEnabledFor(logging.INFO) else None


def _to_stderr(lines: str) -> None:
    """Whether anybody reads them is not the requests' business."""
    with suppress(OSError, ValueError):
        sys.stderr.write(lines)
        sys.stderr.flush()


def _as_text(line: Line) -> str:
    request = line.request
    said = f"{_clock(int(line.at))} INFO {LOGGER}: POST {_path(request.path)} {line.status}"
    return f"{said}{'' if line.record is None else _in_words(line.record, line.took_s)} request={_shown(request)}"


def _as_json(line: Line, local: bool) -> str:
    path = _path(line.request.path)
    fields: dict[str, Any] = {
        "time": rfc3339(line.at, local=local),
        "level": "INFO",
        "target": LOGGER,
        "file": _FILE,
        "line": _LINE,
        "message": f"POST {path} {line.status}",
        "x_request_id": _shown(line.request),
        "method": "POST",
        "path": path,
        "status": line.status,
    }
    if line.record is not None:
        fields |= ids_of(line.record.trail) | _as_fields(line.record, line.took_s)
    return _encode(fields).decode()


def _in_words(record: Record, took_s: float) -> str:
    words = "" if record.model is None else f" model={record.model.name}"
    if (usage := record.usage) is not None:
        words += f" prompt={usage.prompt} completion={usage.completion} cached={usage.cached}"
    if (first := record.first_token_s) is not None:
        words += f" ttft={first * 1e3:.1f}ms"
    words += f" duration={took_s * 1e3:.1f}ms"
    if workers := record.workers:
        words += f" worker={','.join([record.name_of(worker) for worker in workers])}"
    if finish := record.finish:
        words += f" finish={finish}"
    return f"{words} error={record.problem}" if record.problem else words


def _as_fields(record: Record, took_s: float) -> dict[str, Any]:
    fields: dict[str, Any] = {"duration_ms": round(took_s * 1e3, 3), "stream": record.streamed}
    if record.model is not None:
        fields["model"] = record.model.name
    if (usage := record.usage) is not None:
        fields |= {"prompt_tokens": usage.prompt, "completion_tokens": usage.completion, "cached_tokens": usage.cached}
    if (first := record.first_token_s) is not None:
        fields["ttft_ms"] = round(first * 1e3, 3)
    if workers := record.workers:
        fields["worker"] = ",".join([record.name_of(worker) for worker in workers])
        fields["worker_id"] = ",".join([f"{worker:x}" for worker in workers])
    if finish := record.finish:
        fields["finish_reason"] = finish
    if record.problem:
        fields["error"] = record.problem
    return fields


@lru_cache(4)
def _clock(second: int) -> str:
    """Local time, as in all our lines."""
    return strftime("%H:%M:%S", localtime(second))


@lru_cache(256)
def _path(path: str) -> str:
    """In one word, whatever a client made of it."""
    if path.isascii() and path.isprintable() and " " not in path and len(path) <= LONGEST_PATH:
        return redact(path)
    return redact(ascii(path[:LONGEST_PATH])).replace(" ", "\\x20")


def _shown(request: Request) -> str:
    text = request.id.decode("ascii")
    return redact(text) if REQUEST_ID in request.headers else text

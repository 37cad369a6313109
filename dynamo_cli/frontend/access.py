"""One line in the log for each request that asked for something, when it is over."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from dynamo_cli.frontend.record import Record, status_of
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.http.request import REQUEST_ID, Request
from dynamo_cli.runtime.log_lines import ids_of, rfc3339
from dynamo_cli.runtime.logs import LogSettings
from dynamo_cli.runtime.redact import redact

LOGGER = "dynamo.access"
LONGEST_PATH = 200
_FILE = "dynamo_cli/frontend/access.py"
_encode = msgspec.json.encode


class AccessLog:
    """Lines are written past `logging`, which costs three times as much, and all of one pass of the event loop
    together. Below the level of this logger it is not made at all: see `access_log`.

    What only looks (GET and the like), and what the supervisor asks, has no line.
    """

    def __init__(self, settings: LogSettings, write: Callable[[str], object]) -> None:
        self._line = self._as_json if settings.as_json else self._as_text
        self._local = settings.local
        self._write = write
        self._lines: list[str] = []
        self._second = 0
        self._clock = ""

    def ended(self, exchange: Exchange, record: Record | None) -> None:
        request = exchange.request
        if request.method != "POST" or request.trusted:
            return
        self._lines.append(self._line(exchange, record))
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            self._write("\n".join(lines) + "\n")

    def _as_text(self, exchange: Exchange, record: Record | None) -> str:
        now = int(time.time())
        if now != self._second:
            self._second, self._clock = now, time.strftime("%H:%M:%S", time.localtime(now))
        request = exchange.request
        line = f"{self._clock} INFO {LOGGER}: POST {_path(request.path)} {status_of(exchange)}"
        return f"{line}{'' if record is None else _in_words(record)} request={_shown(request)}"

    def _as_json(self, exchange: Exchange, record: Record | None) -> str:
        request, status = exchange.request, status_of(exchange)
        path = _path(request.path)
        fields: dict[str, Any] = {
            "time": rfc3339(time.time(), local=self._local),
            "level": "INFO",
            "target": LOGGER,
            "file": _FILE,
            "line": _LINE,
            "message": f"POST {path} {status}",
            "x_request_id": _shown(request),
            "method": "POST",
            "path": path,
            "status": status,
        }
        if record is not None:
            fields |= ids_of(record.trail) | _as_fields(record)
        return _encode(fields).decode()


_LINE = AccessLog.ended.__code__.co_firstlineno


def access_log(settings: LogSettings) -> AccessLog | None:
    """On stderr; None when its level is not wanted."""
    return AccessLog(settings, _to_stderr) if logging.getLogger(LOGGER).isEnabledFor(logging.INFO) else None


def _to_stderr(lines: str) -> None:
    sys.stderr.write(lines)
    sys.stderr.flush()


def _in_words(record: Record) -> str:
    words = "" if record.model is None else f" model={record.model.name}"
    if (usage := record.usage) is not None:
        words += f" prompt={usage.prompt} completion={usage.completion} cached={usage.cached}"
    if (first := record.first_token_s) is not None:
        words += f" ttft={first * 1e3:.1f}ms"
    words += f" duration={record.duration_s * 1e3:.1f}ms"
    if workers := record.workers:
        words += f" worker={','.join([record.name_of(worker) for worker in workers])}"
    if finish := record.finish:
        words += f" finish={finish}"
    return f"{words} error={record.problem}" if record.problem else words


def _as_fields(record: Record) -> dict[str, Any]:
    fields: dict[str, Any] = {"duration_ms": round(record.duration_s * 1e3, 3), "stream": record.streamed}
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


@lru_cache(256)
def _path(path: str) -> str:
    """In one word, whatever a client made of it."""
    if path.isascii() and path.isprintable() and " " not in path and len(path) <= LONGEST_PATH:
        return redact(path)
    return redact(ascii(path[:LONGEST_PATH])).replace(" ", "\\x20")


def _shown(request: Request) -> str:
    text = request.id.decode("ascii")
    return redact(text) if REQUEST_ID in request.headers else text

"""Log lines of our own processes: on stderr, from the level DYN_LOG on, as text or as JSON; secrets covered."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.redact import redact

LEVELS = {
    "trace": logging.DEBUG - 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "off": logging.CRITICAL + 1,
}
CHATTY = ("asyncio", "httpcore", "httpx")
ENGINE_LEVELS = {
    "TLLM_LOG_LEVEL": {
        "trace": "TRACE",
        "debug": "DEBUG",
        "info": "INFO",
        "warn": "WARNING",
        "error": "ERROR",
        "off": "ERROR",
    },
    "VLLM_LOGGING_LEVEL": {
        "trace": "DEBUG",
        "debug": "DEBUG",
        "info": "INFO",
        "warn": "WARNING",
        "error": "ERROR",
        "off": "CRITICAL",
    },
}
"""What an engine's own variable is called, and its words for ours."""
TRUE = ("1", "true", "yes", "on")


class LogSettings(NamedTuple):
    """`level` is a word of LEVELS; `targets` the words for single loggers and all below them."""

    level: str = "info"
    targets: tuple[tuple[str, str], ...] = ()
    as_json: bool = False


def log_settings(environ: Mapping[str, str]) -> LogSettings:
    """From DYN_LOG (`info`, `warn,dynamo_cli.routing=debug`) and DYN_LOGGING_JSONL. UsageError for a wrong word."""
    level, targets = "info", []
    for part in filter(None, (part.strip() for part in environ.get("DYN_LOG", "").split(","))):
        target, equals, word = part.rpartition("=")
        if word.lower() not in LEVELS:
            raise UsageError(f"DYN_LOG={environ['DYN_LOG']}: {word} is no level; use {', '.join(LEVELS)}")
        if not equals:
            level = word.lower()
        elif not re.fullmatch(r"\w+(?:(?:\.|::)\w+)*", target.strip()):
            raise UsageError(
                f"DYN_LOG={environ['DYN_LOG']}: {target!r} names no logger; write dynamo_cli.routing=debug"
            )
        else:
            targets.append((target.strip().replace("::", "."), word.lower()))
    as_json = environ.get("DYN_LOGGING_JSONL", "").lower() in TRUE
    return LogSettings("warn" if level == "warning" else level, tuple(targets), as_json)


def engine_levels(environ: Mapping[str, str]) -> dict[str, str]:
    """The engines' own variables for the level of DYN_LOG; none without it, and none that the user set."""
    if not environ.get("DYN_LOG"):
        return {}
    level = log_settings(environ).level
    return {name: words[level] for name, words in ENGINE_LEVELS.items() if not environ.get(name)}


def configure_logging(*, stamped: bool = False) -> None:
    """Send the logs of this process to stderr. Idempotent. UsageError for a wrong DYN_LOG.

    `stamped`: each line begins with its time as the log keeper writes it, for a process whose output it does not keep.
    """
    configure_handler(logging.StreamHandler(sys.stderr), stamped=stamped)


def configure_handler(handler: logging.Handler, *, stamped: bool = False) -> None:
    """The same to another place than stderr."""
    settings = log_settings(os.environ)
    handler.setFormatter(_formatter(settings, stamped))
    level = LEVELS[settings.level]
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
    for target, word in settings.targets:
        logging.getLogger(target).setLevel(LEVELS[word])


def _formatter(settings: LogSettings, stamped: bool) -> logging.Formatter:
    formatter: logging.Formatter = _JsonFormatter() if settings.as_json else _TextFormatter()
    return _Stamped(formatter) if stamped else formatter


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _JsonFormatter(logging.Formatter):
    """The reference's fields, one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _rfc3339(record.created),
            "level": record.levelname,
            "file": record.pathname,
            "line": record.lineno,
            "target": record.name,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            fields["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(fields, ensure_ascii=False)


class _Stamped(logging.Formatter):
    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        at = _rfc3339(record.created, 3)
        return "\n".join(f"{at} {line}" for line in self._inner.format(record).splitlines())


def _rfc3339(seconds: float, digits: int = 6) -> str:
    whole = int(seconds)
    fraction = int((seconds - whole) * 10**digits)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{fraction:0{digits}d}Z"

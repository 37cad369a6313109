"""Log lines of our own processes: on stderr, from the level DYN_LOG on, as text or as JSON; secrets covered."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import NamedTuple

from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.log_lines import JsonLines, StampedLines, TextLines

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
FALSE = ("", "0", "false", "no", "off")
OURS = ("dynamo", "dynamo_cli")


class LogSettings(NamedTuple):
    """`level` is a word of LEVELS; `targets` the words for single loggers and all below them.

    `local`: times in JSON are of this machine's zone.
    """

    level: str = "info"
    targets: tuple[tuple[str, str], ...] = ()
    as_json: bool = False
    local: bool = False


def log_settings(environ: Mapping[str, str]) -> LogSettings:
    """From DYN_LOG (`info`, `warn,dynamo.routing=debug`), DYN_LOGGING_JSONL and DYN_LOG_USE_LOCAL_TZ.

    UsageError for a wrong word.
    """
    level, targets = "info", []
    for part in filter(None, (part.strip() for part in environ.get("DYN_LOG", "").split(","))):
        target, equals, word = part.rpartition("=")
        if word.lower() not in LEVELS:
            raise UsageError(f"DYN_LOG={environ['DYN_LOG']}: {word} is no level; use {', '.join(LEVELS)}")
        if not equals:
            level = word.lower()
        elif not re.fullmatch(r"\w+(?:(?:\.|::)\w+)*", target.strip()):
            raise UsageError(f"DYN_LOG={environ['DYN_LOG']}: {target!r} names no logger; write dynamo.routing=debug")
        else:
            targets.append((target.strip().replace("::", "."), word.lower()))
    as_json, local = switch(environ, "DYN_LOGGING_JSONL"), switch(environ, "DYN_LOG_USE_LOCAL_TZ")
    return LogSettings("warn" if level == "warning" else level, tuple(targets), as_json, local)


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
    logging.addLevelName(LEVELS["trace"], "TRACE")
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
    for target, word in settings.targets:
        for name in _loggers(target):
            logging.getLogger(name).setLevel(LEVELS[word])


def _formatter(settings: LogSettings, stamped: bool) -> logging.Formatter:
    formatter: logging.Formatter = JsonLines(settings.local) if settings.as_json else TextLines()
    return StampedLines(formatter) if stamped else formatter


def _loggers(target: str) -> set[str]:
    """A target's loggers: this project's names begin with dynamo or dynamo_cli, and either word means both."""
    first, dot, rest = target.partition(".")
    return {f"{name}{dot}{rest}" for name in (OURS if first in OURS else (first,))}


def switch(environ: Mapping[str, str], name: str) -> bool:
    """UsageError for what is neither on nor off."""
    text = environ.get(name, "").strip().lower()
    if text not in (*TRUE, *FALSE):
        raise UsageError(f"{name}={environ[name]}: expected 1 or 0")
    return text in TRUE

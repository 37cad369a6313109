"""The options of migration on the command line and in the environment."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

from dynamo_cli.errors import UsageError
from dynamo_cli.routing.migration import DEFAULT_LIMIT, MigrationOptions
from dynamo_cli.runtime.http.limits import number

_LIMIT, _MAX_SEQ_LEN = "DYN_MIGRATION_LIMIT", "DYN_MIGRATION_MAX_SEQ_LEN"
_SILENCE = "DYN_HTTP_BACKEND_STREAM_TIMEOUT_SECS"


def add_migration_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--migration-limit",
        metavar="N",
        help=f"how often a request may move from a lost worker ({_LIMIT}; default {DEFAULT_LIMIT}; 0: never)",
    )
    parser.add_argument(
        "--migration-max-seq-len",
        metavar="TOKENS",
        help=f"a begun request with more prompt and generated tokens does not move ({_MAX_SEQ_LEN}; default: no limit)",
    )


def migration_options(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> MigrationOptions:
    """Raises UsageError."""
    limit = _whole("--migration-limit", arguments.migration_limit, _LIMIT, environ, least=0)
    longest = _whole("--migration-max-seq-len", arguments.migration_max_seq_len, _MAX_SEQ_LEN, environ, least=1)
    return MigrationOptions(DEFAULT_LIMIT if limit is None else limit, longest, _seconds(_SILENCE, environ))


def _whole(option: str, given: str | None, variable: str, environ: Mapping[str, str], least: int) -> int | None:
    name, text = (variable, environ.get(variable)) if given is None else (option, given)
    if given is None and not text:
        return None
    try:
        number = int(text or "")
    except ValueError:
        raise UsageError(f"{name} {text!r} is no whole number") from None
    if number < least:
        raise UsageError(f"{name} {number} must be at least {least}")
    return number


def _seconds(variable: str, environ: Mapping[str, str]) -> float:
    seconds = number(variable, 0.0, environ)
    if seconds < 0:
        raise UsageError(f"{variable}={environ[variable]!r} must be a number of seconds, 0 for no limit")
    return seconds

"""Numbers in options and variables."""

from __future__ import annotations

from collections.abc import Mapping

from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.http.limits import number


def whole(name: str, text: str, least: int) -> int:
    """Raises UsageError, which names the option."""
    if text.strip().isdecimal() and int(text) >= least:
        return int(text)
    raise UsageError(f"{name} {text!r} is no whole number of at least {least}")


def seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    """Less than none is none. Raises UsageError, which names the variable."""
    return max(0.0, number(name, default, environ))

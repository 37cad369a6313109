"""Numbers in options and variables."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dynamo_cli.errors import UsageError


def whole(name: str, text: str, least: int) -> int:
    """Raises UsageError, which names the option."""
    if text.strip().isdecimal() and int(text) >= least:
        return int(text)
    raise UsageError(f"{name} {text!r} is no whole number of at least {least}")


def seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    """Raises UsageError, which names the variable."""
    text = environ.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{name} is {text!r}, not a number of seconds")
    return max(0.0, value)

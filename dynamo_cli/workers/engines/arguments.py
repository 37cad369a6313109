"""Native arguments of the engines that are our own: `--block-size 32` is the option `block_size`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from dynamo_cli.errors import UsageError
from dynamo_cli.workers.engines.base import EngineOptions

Options = TypeVar("Options", bound=EngineOptions)


def nearest(word: str, known: Sequence[str]) -> str:
    """`; did you mean X`, or nothing when no known word is close."""
    from difflib import get_close_matches  # for mistakes alone

    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}" if close else ""


def split_flags(args: Sequence[str]) -> list[tuple[str, str | None]]:
    """(flag, value) pairs from `--flag value`, `--flag=value` and bare `--flag`; negative numbers are values.

    Raises UsageError for a word that belongs to no flag.
    """
    pairs: list[tuple[str, str | None]] = []
    for word in args:
        if _is_flag(word):
            flag, equals, value = word.partition("=")
            pairs.append((flag, value if equals else None))
        elif pairs and pairs[-1][1] is None:
            pairs[-1] = (pairs[-1][0], word)
        else:
            raise UsageError(f"unexpected engine argument {word!r}")
    return pairs


def with_args(options: Options, args: Sequence[str], engine: str) -> Options:
    """`options` with the native arguments over them; raises UsageError for an unknown flag or a bad value."""
    if not args:
        return options
    names = options.__struct_fields__
    values: dict[str, Any] = msgspec.structs.asdict(options)
    for flag, value in split_flags(args):
        name = flag.lstrip("-").replace("-", "_")
        if name not in names:
            flags = ["--" + name.replace("_", "-") for name in names]
            raise UsageError(f"engine {engine} has no argument {flag}{nearest(flag, flags)}")
        if value is None:
            raise UsageError(f"engine {engine}: {flag} needs a value")
        values[name] = value
    return convert_options(values, type(options), engine)


def convert_options(values: Any, kind: type[Options], engine: str) -> Options:
    """Typed options from plain data, numbers in strings included; raises UsageError naming the key."""
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"options of engine {engine}: {error}") from None


def _is_flag(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and not (word[1].isdigit() or word[1] == ".")

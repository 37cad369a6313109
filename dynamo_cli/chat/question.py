"""The question of a chat that is not interactive: from the command line, stdin and files."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from pathlib import Path

from dynamo_cli.errors import UsageError

STDIN = "-"


def assemble(argument: str | None, files: Iterable[Path]) -> str | None:
    """The argument, then what is piped in, then each file under its name; None when a person shall be asked.

    Raises UsageError for a file that is no text, and when all of it is empty.
    """
    texts = [f"{path.name}:\n\n{_read(path)}" for path in files]
    piped = "" if argument != STDIN and sys.stdin.isatty() else sys.stdin.read()
    if argument is None and not texts and sys.stdin.isatty():
        return None
    given = "" if argument in (None, STDIN) else as_utf8(argument or "")
    question = "\n\n".join(part.strip() for part in (given, piped, *texts) if part.strip())
    if not question:
        raise UsageError("the question is empty")
    return question


def as_utf8(argument: str) -> str:
    """Bytes of the command line that the locale could not read, read as UTF-8."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_any_bytes() -> None:
    """Text on stdin is UTF-8 whatever the locale says, and a byte that is not is no reason to crash."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise UsageError(f"--file {path}: is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"--file {path}: {(error.strerror or str(error)).lower()}") from None

"""Puts a drafted topology on the disk."""

from __future__ import annotations

from pathlib import Path

from dynamo_cli.errors import UsageError


def write_draft(file: Path, text: str, *, force: bool) -> None:
    """Raises UsageError for a file that is there already, unless `force`, and for a place that cannot be."""
    try:
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{file} is there already; --force overwrites it, -o FILE writes another one") from None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from None

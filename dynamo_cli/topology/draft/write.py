"""Puts a drafted topology on the disk."""

from __future__ import annotations

from pathlib import Path

from dynamo_cli.errors import UsageError


def write_draft(file: Path, text: str, *, force: bool) -> None:
    """Raises UsageError for a file that is there already, unless `force`, for a place that cannot be, and for names
    that TOML cannot say."""
    try:
        content = text.encode()
    except UnicodeEncodeError:
        raise UsageError("the path of the model is not UTF-8, which a topology has to be; rename or link it") from None
    try:
        with file.open("wb" if force else "xb") as stream:
            stream.write(content)
    except FileExistsError:
        raise UsageError(f"{file} is there already; --force overwrites it, -o FILE writes another one") from None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from None

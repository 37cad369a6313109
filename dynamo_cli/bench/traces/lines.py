"""The lines of a file that may be compressed, and may have been cut off while it was written."""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from dynamo_cli.errors import UsageError

CHUNK = 1 << 18
GZIP = b"\x1f\x8b"
_OF_GZIP = 31
"""What zlib calls a gzip member."""


def lines_of(file: Path, notes: list[str]) -> Iterator[bytes]:
    """Without their ends. A compressed file may be cut off: that is noted, and a line of which a part is there is left
    out. Raises UsageError for a file that cannot be read.
    """
    try:
        with file.open("rb") as source:
            compressed = source.read(len(GZIP)) == GZIP or file.suffix == ".gz"
            source.seek(0)
            before = len(notes)
            rest = yield from _split(_members(file, _chunks(source), notes) if compressed else _chunks(source))
            if rest and len(notes) == before:
                yield rest
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk


def _split(chunks: Iterable[bytes]) -> Generator[bytes, None, bytes]:
    """The lines that have an end; returns what is behind the last end."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    return rest


def _members(file: Path, chunks: Iterable[bytes], notes: list[str]) -> Iterator[bytes]:
    """What all gzip members of a file hold, of the last one as much as is there."""
    member, begun = zlib.decompressobj(_OF_GZIP), False
    try:
        for chunk in chunks:
            while chunk:
                begun = True
                yield member.decompress(chunk)
                chunk = member.unused_data
                if member.eof:
                    member, begun = zlib.decompressobj(_OF_GZIP), False
    except zlib.error as error:
        notes.append(f"{file} is damaged, and what follows is left out: {error}")
        return
    if begun:
        notes.append(f"{file} was cut off; what it lacks is left out")

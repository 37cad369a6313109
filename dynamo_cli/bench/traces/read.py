"""The one reader of traces: a file, or a directory of a request trace's segments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from dynamo_cli.bench.traces.lines import lines_of
from dynamo_cli.bench.traces.mooncake import mooncake_requests
from dynamo_cli.bench.traces.recorded import recorded_requests
from dynamo_cli.bench.traces.request import TracedRequest
from dynamo_cli.errors import UsageError

ENDINGS = (".jsonl", ".jsonl.gz")


class _Head(msgspec.Struct):
    schema: str = ""


def read_trace(path: Path, notes: list[str]) -> Iterator[TracedRequest]:
    """The requests in the order of their time. `notes` gets a line for all that is left out.

    Raises UsageError naming file and line of what cannot be read.
    """
    files = _files(path)
    if _is_recorded(next((line for file in files for line in lines_of(file, []) if line.strip()), b"")):
        return iter(recorded_requests([(file, lines_of(file, notes)) for file in files], notes))
    if len(files) > 1:
        raise UsageError(f"{path}: {files[0].name} is no request trace; name one file")
    return mooncake_requests(files[0], lines_of(files[0], notes))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        files = sorted(file for file in path.iterdir() if file.name.endswith(ENDINGS))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    if not files:
        raise UsageError(f"{path}: holds no {' or '.join(ENDINGS)} file")
    return files


def _is_recorded(line: bytes) -> bool:
    try:
        return bool(msgspec.json.decode(line, type=_Head).schema)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False

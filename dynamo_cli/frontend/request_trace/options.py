"""Whether and where requests are traced: flag > environment > not at all. The variables are the reference's."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.request_trace import REQUEST_END, REQUEST_PAYLOAD
from dynamo_cli.runtime.logs import switch

NAME = "dynamo-request-trace"
_PREFIX = "DYN_REQUEST_TRACE"
RECORDS = (REQUEST_END, REQUEST_PAYLOAD)


@dataclass(frozen=True)
class TraceOptions:
    """Segments are `<prefix>.<pid>.<number>.jsonl.gz`, or in a directory `dynamo-request-trace.<pid>...`.

    `records`: kinds of them. `capacity`: requests that wait to be written. A segment ends at `roll_bytes` of what it
    holds uncompressed; it is written to after `buffer_bytes` or `flush_s`.
    """

    prefix: Path
    records: frozenset[str] = frozenset((REQUEST_END,))
    capacity: int = 1024
    buffer_bytes: int = 1 << 20
    flush_s: float = 1.0
    roll_bytes: int = 256 << 20


def add_trace_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--request-trace",
        metavar="PREFIX",
        help=f"write a record of each request to PREFIX.*.jsonl.gz ({_PREFIX}=1, {_PREFIX}_FILE_PATH; default: none)",
    )


def trace_options(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> TraceOptions | None:
    """None when requests are not traced. Raises UsageError."""
    given = arguments.request_trace
    listed = environ.get(f"{_PREFIX}_RECORDS", "")
    if not (given or switch(environ, _PREFIX)):
        return None
    _only(environ, f"{_PREFIX}_SINKS", "file")
    _only(environ, f"{_PREFIX}_FILE_FORMAT", "jsonl_gz")
    path = given or environ.get(f"{_PREFIX}_FILE_PATH") or str(Path(tempfile.gettempdir(), NAME))
    return TraceOptions(
        prefix=_prefix(path, "--request-trace" if given else f"{_PREFIX}_FILE_PATH"),
        records=_records(listed) if listed.strip() else TraceOptions.records,
        capacity=_whole(environ, f"{_PREFIX}_CAPACITY", TraceOptions.capacity),
        buffer_bytes=_whole(environ, f"{_PREFIX}_FILE_BUFFER_BYTES", TraceOptions.buffer_bytes),
        flush_s=_whole(environ, f"{_PREFIX}_FILE_FLUSH_INTERVAL_MS", round(TraceOptions.flush_s * 1e3)) / 1e3,
        roll_bytes=_whole(environ, f"{_PREFIX}_FILE_ROLL_BYTES", TraceOptions.roll_bytes),
    )


def _prefix(path: str, name: str) -> Path:
    """Its directory is made. UsageError when that cannot be, or when nothing can be written there."""
    prefix = Path(path).expanduser().absolute()
    if path.endswith("/") or prefix.is_dir():
        prefix = prefix / NAME
    try:
        prefix.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{name}={path}: cannot make {prefix.parent}: {error.strerror}") from None
    if not os.access(prefix.parent, os.W_OK | os.X_OK):
        raise UsageError(f"{name}={path}: nothing can be written to {prefix.parent}")
    return prefix


def _records(listed: str) -> frozenset[str]:
    """`tool` is the reference's word for what harnesses report: there is nothing of that here to be left out."""
    kinds = {kind.strip() for kind in listed.split(",") if kind.strip()}
    unknown = kinds - {*RECORDS, "tool"}
    if unknown:
        raise UsageError(f"{_PREFIX}_RECORDS={listed}: {', '.join(sorted(unknown))} is none of {', '.join(RECORDS)}")
    return frozenset(kinds - {"tool"})


def _only(environ: Mapping[str, str], name: str, word: str) -> None:
    given = environ.get(name)
    if given and given != word:
        raise UsageError(f"{name}={given}: only {word} is available")


def _whole(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not int(text):
        raise UsageError(f"{name}={text}: expected a whole number, 1 or more")
    return int(text)

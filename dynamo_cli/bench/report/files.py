"""The files of a result: summary.json, requests.jsonl, summary.csv, report.html."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report.csv_table import csv_text
from dynamo_cli.bench.report.html import page
from dynamo_cli.bench.report.model import SCHEMA_VERSION, Summary
from dynamo_cli.errors import ResourceMissing, UsageError

SUMMARY, REQUESTS, TABLE, PAGE = "summary.json", "requests.jsonl", "summary.csv", "report.html"


@dataclass(frozen=True)
class Results:
    """A result that was read. `requests`: the path of requests.jsonl, None when there is none."""

    path: Path
    summary: Summary
    requests: Path | None

    def records(self) -> Iterator[RequestRecord]:
        """Those of every point, one at a time. UsageError names a line that is none."""
        if self.requests is None:
            return
        decode = msgspec.json.Decoder(RequestRecord).decode
        number = 0
        with self.requests.open("rb") as lines:
            try:
                for line in lines:
                    number += 1
                    yield decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise UsageError(f"{self.requests}:{number}: not a request of a benchmark: {error}") from None


def write_results(
    directory: str | Path, summary: Summary, records_by_label: Mapping[str, Sequence[RequestRecord]]
) -> None:
    """Make the directory and write every file of it, each at once or not at all.

    Raises ResourceMissing when a file cannot be written.
    """
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceMissing(f"cannot create {folder}: {error.strerror}") from None
    _replace(folder / REQUESTS, lambda file: _write_records(file, records_by_label))
    _replace(folder / TABLE, lambda file: file.write(csv_text(summary).encode()))
    _replace(folder / PAGE, lambda file: file.write(page(summary, records_by_label).encode()))
    _replace(folder / SUMMARY, lambda file: file.write(summary_json(summary)))


def summary_json(summary: Summary) -> bytes:
    return msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"


def _write_records(file: BinaryIO, records_by_label: Mapping[str, Sequence[RequestRecord]]) -> None:
    encode = msgspec.json.Encoder().encode
    for label, records in records_by_label.items():
        for record in records:
            labelled = record if record.point == label else msgspec.structs.replace(record, point=label)
            file.write(encode(labelled) + b"\n")


def _replace(path: Path, write: Callable[[BinaryIO], object]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            write(file)
        draft.replace(path)
    except OSError as error:
        raise ResourceMissing(f"cannot write {path}: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def read_results(path: str | Path) -> Results:
    """A result's directory or its summary.json. Raises UsageError."""
    place = Path(path)
    file = place / SUMMARY if place.is_dir() else place
    try:
        summary = msgspec.json.decode(file.read_bytes(), type=Summary)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}; expected a directory of `dynamo bench`") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not a benchmark's summary: {error}") from None
    if summary.schema_version != SCHEMA_VERSION:
        raise UsageError(
            f"{file} has schema version {summary.schema_version}, this dynamo reads {SCHEMA_VERSION}; measure again"
        )
    requests = file.with_name(REQUESTS)
    return Results(file, summary, requests if requests.is_file() else None)

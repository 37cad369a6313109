"""Traces in the Mooncake format, one request a line, never held whole.

    {"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 48]}

`timestamp` is in milliseconds. Each hash id stands for 512 tokens of the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from dynamo_cli.bench.traces.request import TracedRequest, fault
from dynamo_cli.errors import UsageError

BLOCK_TOKENS = 512


class _Line(msgspec.Struct):
    timestamp: float
    input_length: int
    output_length: int
    hash_ids: list[int] = []
    session_id: str = ""


def mooncake_requests(file: Path, lines: Iterable[bytes]) -> Iterator[TracedRequest]:
    """Raises UsageError naming the line that is broken, or earlier than the one before it."""
    decoder = msgspec.json.Decoder(_Line)
    latest = 0.0
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            line = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{file}:{number}: {error}") from None
        request = TracedRequest(
            line.timestamp / 1e3,
            line.input_length,
            line.output_length,
            line.hash_ids,
            BLOCK_TOKENS,
            session=line.session_id,
        )
        problem = fault(request)
        if line.timestamp < latest:
            problem = f"timestamp {line.timestamp:g} is before that of an earlier line, {latest:g}"
        if problem:
            raise UsageError(f"{file}:{number}: {problem}")
        latest = line.timestamp
        yield request

"""Request traces, as frontends write them: see protocol/request_trace.py.

Records come when their requests are over, and several frontends write files of their own, so all are read before the
first one can be told. A request takes eight bytes for each block of its prompt.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from dynamo_cli.bench.traces.request import TracedRequest, fault
from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.request_trace import REQUEST_END, SCHEMA, Replay


class _Request(msgspec.Struct):
    request_received_ms: float
    input_tokens: int | None = None
    output_tokens: int | None = None
    model: str | None = None
    replay: Replay | None = None


class _Agent(msgspec.Struct):
    session_id: str = ""


class _Record(msgspec.Struct):
    schema: str = ""
    event_type: str = ""
    request: _Request | None = None
    agent_context: _Agent | None = None


def recorded_requests(files: Iterable[tuple[Path, Iterable[bytes]]], notes: list[str]) -> list[TracedRequest]:
    """In the order in which they were received; the first one is at 0.

    A last line that was cut off is noted, and so are requests whose lengths are not known. Raises UsageError naming
    the line of what is no such record.
    """
    requests: list[TracedRequest] = []
    unknown = 0
    for file, lines in files:
        for request in _of_file(file, lines, notes):
            if request.input_length:
                requests.append(request)
            else:
                unknown += 1
    if unknown:
        notes.append(f"{unknown} requests whose length was not recorded are left out")
    requests.sort(key=lambda request: request.timestamp_s)
    began = requests[0].timestamp_s if requests else 0.0
    return [msgspec.structs.replace(request, timestamp_s=request.timestamp_s - began) for request in requests]


def _of_file(file: Path, lines: Iterable[bytes], notes: list[str]) -> Iterator[TracedRequest]:
    decoder, broken = msgspec.json.Decoder(_Record), ""
    for number, text in enumerate(lines, 1):
        if broken:
            raise UsageError(broken)
        if not text.strip():
            continue
        try:
            record = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            broken = f"{file}:{number}: {error}"
            continue
        if record.schema != SCHEMA:
            raise UsageError(f"{file}:{number}: schema {record.schema!r} is not {SCHEMA}")
        if record.event_type == REQUEST_END and record.request is not None:
            request = _request(record.request, record.agent_context)
            if request.input_length and (problem := fault(request)):
                raise UsageError(f"{file}:{number}: {problem}")
            yield request
    if broken:
        notes.append(f"the last line of {file} was cut off and is left out")


def _request(known: _Request, agent: _Agent | None) -> TracedRequest:
    replay = known.replay
    return TracedRequest(
        known.request_received_ms / 1e3,
        replay.input_length if replay is not None else known.input_tokens or 0,
        known.output_tokens or 0,
        array("Q", map(_unsigned, replay.input_sequence_hashes)) if replay is not None else (),
        replay.trace_block_size if replay is not None else 1,
        known.model or "",
        session=agent.session_id if agent is not None else "",
    )


def _unsigned(value: int) -> int:
    """Some writers tell 64 bits with a sign."""
    return value & 0xFFFF_FFFF_FFFF_FFFF

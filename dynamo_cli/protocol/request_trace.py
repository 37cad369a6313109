"""The records of a request trace, in the reference's form: what is needed to offer the same load again, without text.

One JSON object a line. Records are written when a request is over, so their order is not that of the requests.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA = "dynamo.request.trace.v1"
REQUEST_END, REQUEST_PAYLOAD = "request_end", "request_payload"
RecordKind = Literal["request_end", "request_payload"]


class Replay(msgspec.Struct):
    """`input_sequence_hashes`: of each prefix of the prompt by whole blocks, and of all of it when that is none.

    Two prompts that begin alike have as many first hashes in common. See protocol/kv.py.
    """

    trace_block_size: int
    input_length: int
    input_sequence_hashes: list[int]


class Finish(msgspec.Struct):
    finish_reason: str


class Worker(msgspec.Struct, omit_defaults=True):
    """`decode_worker_id` as discovery writes it; `decode_worker`: the supervisor's name of it."""

    decode_worker_id: str
    decode_worker: str = ""


class RequestEnd(msgspec.Struct, omit_defaults=True):
    """One sequence: a request for several choices has a record for each. Times in milliseconds, counts of tokens.

    `request_received_ms` is since the epoch. `error`: why it is not whole. Without `replay` it had no tokens that we
    know of.
    """

    request_id: str
    x_request_id: str = ""
    trace_id: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    request_received_ms: int = 0
    ttft_ms: float | None = None
    total_time_ms: float = 0.0
    finish_reason_metadata: Finish | None = None
    error: str = ""
    worker: Worker | None = None
    replay: Replay | None = None


class Payload(msgspec.Struct, omit_defaults=True):
    """`request` is the body as the client sent it."""

    request_id: str
    endpoint: str
    requested_streaming: bool
    model: str
    request: msgspec.Raw
    payload_complete: bool = True


class TraceRecord(msgspec.Struct, omit_defaults=True):
    """`event_time_unix_ms`: when it was written down."""

    schema: str
    event_type: str
    event_time_unix_ms: int
    event_source: str = ""
    request: RequestEnd | None = None
    payload: Payload | None = None

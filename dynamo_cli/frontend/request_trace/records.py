"""From what the frontend knows of a request to its records. Hashing takes time: done where nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from dynamo_cli.frontend.record import Record
from dynamo_cli.protocol.kv import chain, local_hashes
from dynamo_cli.protocol.request_trace import (
    REQUEST_END,
    REQUEST_PAYLOAD,
    SCHEMA,
    Finish,
    Payload,
    Replay,
    RequestEnd,
    TraceRecord,
    Worker,
)

DEFAULT_BLOCK = 64
"""Tokens of a block where the engine does not tell its own."""
SOURCE = "dynamo"
TOKEN_BYTES = 36
"""A Python number and its place in a list."""
_ENDPOINTS = {"chat": "openai.chat_completion", "completions": "openai.completion", "embeddings": "openai.embedding"}


class Ended(NamedTuple):
    """One sequence that is over: all of its record but the hashes of its prompt, `token_ids`."""

    request: RequestEnd
    token_ids: list[int]
    block_size: int
    at_ms: int

    @property
    def size(self) -> int:
        """Bytes it holds in memory, about."""
        return TOKEN_BYTES * len(self.token_ids)


class Asked(NamedTuple):
    """A request with its text."""

    payload: Payload
    at_ms: int

    @property
    def size(self) -> int:
        """As it came."""
        return len(self.payload.request)


def ended(record: Record) -> Iterator[Ended]:
    """Of a request that reached a worker."""
    if record.model is None or not record.choices:
        return
    now, identity = time.time(), record.model.routed.identity
    block = (identity.kv_block_size if identity is not None else 0) or DEFAULT_BLOCK
    duration_s = record.duration_s
    for choice in record.choices:
        usage = choice.usage
        end = RequestEnd(
            request_id=record.answer_id if len(record.choices) == 1 else f"{record.answer_id}-{choice.index}",
            x_request_id=record.trail.request_id,
            trace_id=record.trail.trace_id,
            model=record.model.name,
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            request_received_ms=round((now - duration_s) * 1e3),
            ttft_ms=round((choice.first_at - record.began) * 1e3, 3) if choice.first_at else None,
            total_time_ms=round(duration_s * 1e3, 3),
            finish_reason_metadata=Finish(choice.reason) if choice.reason else None,
            error=record.problem,
            worker=_worker(record, choice.instance_id),
        )
        yield Ended(end, choice.request.token_ids, block, round(now * 1e3))


def asked(record: Record, body: bytes) -> Asked | None:
    """None for a request that was not understood."""
    if record.model is None:
        return None
    payload = Payload(
        request_id=record.answer_id,
        endpoint=_ENDPOINTS[record.kind],
        requested_streaming=record.streamed,
        model=record.model.name,
        request=msgspec.Raw(body),
    )
    return Asked(payload, round(time.time() * 1e3))


def line_of(what: Ended | Asked) -> bytes:
    """Its JSON, with the end of the line."""
    if isinstance(what, Asked):
        # The body may be spread over lines; a record is one.
        body = msgspec.Raw(msgspec.json.encode(msgspec.json.decode(what.payload.request)))
        payload = msgspec.structs.replace(what.payload, request=body)
        return _line(TraceRecord(SCHEMA, REQUEST_PAYLOAD, what.at_ms, SOURCE, payload=payload))
    if what.token_ids:
        what.request.replay = Replay(what.block_size, len(what.token_ids), _hashes(what.token_ids, what.block_size))
    return _line(TraceRecord(SCHEMA, REQUEST_END, what.at_ms, SOURCE, what.request))


def _line(record: TraceRecord) -> bytes:
    return msgspec.json.encode(record) + b"\n"


def _hashes(token_ids: list[int], block_size: int) -> list[int]:
    """One for each block, that which is not full included: a reader wants as many as there are blocks."""
    local = local_hashes(token_ids, block_size)
    if rest := len(token_ids) % block_size:
        local += local_hashes(token_ids[-rest:], rest)
    return chain(local)


def _worker(record: Record, instance: int) -> Worker | None:
    if not instance:
        return None
    number, name = f"{instance:x}", record.name_of(instance)
    return Worker(number, "" if name == number else name)

"""The span of a request for generated text, with the attributes of OpenTelemetry's conventions for generative AI.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
"""

from __future__ import annotations

import time
from typing import Any

from dynamo_cli.frontend.record import CLIENT_GONE, Record, status_of
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.spans import Span, Spans

NAME = "http-request"
_OPERATIONS = {"chat": "chat", "completions": "text_completion", "embeddings": "embeddings"}
_SAMPLING = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty")


class HttpSpans:
    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def ended(self, exchange: Exchange, record: Record | None) -> None:
        if record is None or not record.trail.sampled or exchange.request.trusted:
            return
        now = time.time_ns()
        began = now - int(record.duration_s * 1e9)
        self._spans.add(
            Span(NAME, record.trail, began, now, _attributes(exchange, record), _problem(status_of(exchange), record))
        )


def _problem(status: int, record: Record) -> str:
    """A server's span has not failed when the client asked for what it cannot have."""
    if record.problem:
        return record.problem
    return str(status) if status >= 500 or status == CLIENT_GONE else ""


def _attributes(exchange: Exchange, record: Record) -> dict[str, Any]:
    request = exchange.request
    attributes: dict[str, Any] = {
        "http.request.method": request.method,
        "url.path": request.path,
        "http.response.status_code": status_of(exchange),
        "http.request.header.x-request-id": [record.trail.request_id],
        "gen_ai.operation.name": _OPERATIONS[record.kind],
        "gen_ai.provider.name": "dynamo",
        "dynamo.stream": record.streamed,
    }
    if record.model is not None:
        attributes["gen_ai.request.model"] = attributes["gen_ai.response.model"] = record.model.name
    if record.answer_id:
        attributes["gen_ai.response.id"] = record.answer_id
    if (first := record.first_token_s) is not None:
        attributes["dynamo.time_to_first_token"] = first
    if (usage := record.usage) is not None:
        attributes["gen_ai.usage.input_tokens"] = usage.prompt
        attributes["gen_ai.usage.output_tokens"] = usage.completion
        attributes["gen_ai.usage.cache_read.input_tokens"] = usage.cached
    if record.choices:
        attributes |= _of_choices(record)
    return attributes


def _of_choices(record: Record) -> dict[str, Any]:
    asked = record.choices[0].request
    attributes: dict[str, Any] = {
        f"gen_ai.request.{name}": value for name in _SAMPLING if (value := getattr(asked.sampling, name)) is not None
    }
    if asked.stop.max_tokens is not None:
        attributes["gen_ai.request.max_tokens"] = asked.stop.max_tokens
    if len(record.choices) > 1:
        attributes["gen_ai.request.choice.count"] = len(record.choices)
    if reasons := [choice.reason for choice in record.choices if choice.reason]:
        attributes["gen_ai.response.finish_reasons"] = reasons
    if workers := record.workers:
        attributes["dynamo.worker"] = [record.name_of(worker) for worker in workers]
    return attributes

"""The span of what a worker does for one request, below the frontend's."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from dynamo_cli.errors import DynamoError
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.spans import Span, Spans

NAME = "handle_payload"


async def handled(
    spans: Spans, deltas: AsyncIterator[Delta], request: EngineRequest, context: Context
) -> AsyncGenerator[Delta, None]:
    """The deltas as they come; their span when they are over, whoever ends them."""
    began, first, problem = time.time_ns(), 0, "cancelled"
    last: Delta | None = None
    try:
        async for delta in deltas:
            first = first or time.time_ns()
            last = delta
            yield delta
        reason = None if last is None else last.finish_reason
        problem = reason if reason in ("error", "cancelled") else ""
    except DynamoError as error:
        problem = error.code
        raise
    except Exception as error:
        problem = type(error).__name__
        raise
    finally:
        if isinstance(deltas, AsyncGenerator):
            await deltas.aclose()
        if context.trail is not None:
            attributes = _attributes(request, context, last, (first - began) / 1e9 if first else None)
            spans.add(Span(NAME, context.trail, began, time.time_ns(), attributes, problem))


def _attributes(request: EngineRequest, context: Context, last: Delta | None, first_s: float | None) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "gen_ai.request.model": request.model,
        "gen_ai.usage.input_tokens": len(request.token_ids),
        "dynamo.request_id": context.id,
    }
    if context.trail is not None:
        attributes["x_request_id"] = context.trail.request_id
    if request.generated:
        attributes["dynamo.tokens_of_other_workers"] = request.generated
    if first_s is not None:
        attributes["dynamo.time_to_first_token"] = first_s
    if last is not None and last.usage is not None:
        attributes["gen_ai.usage.input_tokens"] = last.usage.prompt_tokens
        attributes["gen_ai.usage.output_tokens"] = last.usage.completion_tokens
        attributes["gen_ai.usage.cache_read.input_tokens"] = last.usage.cached_tokens
    if last is not None and last.finish_reason:
        attributes["gen_ai.response.finish_reasons"] = [last.finish_reason]
    return attributes

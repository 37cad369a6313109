"""What a request must be before an engine sees it."""

from __future__ import annotations

import msgspec

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.workers.embedding import check_kind
from dynamo_cli.workers.engine import EngineInfo


def admit(request: EngineRequest, info: EngineInfo) -> EngineRequest:
    """The request with `max_tokens` filled in. Raises InvalidRequest."""
    check_kind(request, info)
    for media in request.media:
        if media.kind not in info.modalities:
            raise InvalidRequest(f"this model takes no {media.kind}", "messages")
    stop = request.stop
    if stop.max_tokens is not None and stop.max_tokens < 1:
        raise InvalidRequest(f"max_tokens must be at least 1, not {stop.max_tokens}", "max_tokens")
    if info.input == "text":
        if request.messages is None and request.prompt is None:
            raise InvalidRequest("this model takes messages or a prompt, and there are neither", "prompt")
        return request
    prompt = len(request.token_ids)
    if not prompt:
        raise InvalidRequest("the prompt has no tokens", "prompt")
    if not info.context_length:
        return request
    room = info.context_length - prompt
    if request.embedding is not None and room >= 0:
        return request
    if room < 1:
        raise InvalidRequest(
            f"the prompt of {prompt} tokens does not fit the context of {info.context_length} tokens", "prompt"
        )
    if stop.max_tokens is None:
        request.stop = msgspec.structs.replace(stop, max_tokens=room)
    elif stop.max_tokens > room:
        raise InvalidRequest(
            f"{prompt} prompt tokens and max_tokens {stop.max_tokens} exceed the context of "
            f"{info.context_length} tokens",
            "max_tokens",
        )
    return request

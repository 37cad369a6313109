"""What a stream tells of its prompt before it begins, when `nvext.annotations` asks: in the reference's form."""

from __future__ import annotations

import msgspec

from dynamo_cli.frontend.models import ServedModel
from dynamo_cli.frontend.preprocess import rendered
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.openai import ChatRequest, CompletionRequest, GenerateRequest


def annotation_events(model: ServedModel, request: GenerateRequest, engine_requests: list[EngineRequest]) -> bytes:
    """One event for each that is known, of each prompt; none for workers that take text."""
    names = request.nvext.annotations if request.nvext is not None else None
    if not names or model.bundle is None:
        return b""
    events = []
    for at, engine_request in enumerate(engine_requests):
        if "formatted_prompt" in names:
            events.append(_event("formatted_prompt", prompt_text(model, request, at, engine_request)))
        if "token_ids" in names:
            events.append(_event("token_ids", engine_request.token_ids))
    return b"".join(events)


def prompt_text(model: ServedModel, request: GenerateRequest, at: int, engine_request: EngineRequest) -> str:
    """The text of the prompt at this place: as it was given or rendered, else decoded."""
    if request.nvext is None or request.nvext.token_data is None:
        if isinstance(request, ChatRequest) and model.bundle is not None:
            return rendered(model, model.bundle, request)
        if isinstance(request, CompletionRequest) and isinstance(given := request.prompts()[at], str):
            return given
    assert model.bundle is not None
    skip = request.skip_special_tokens is not False
    return model.bundle.tokenizer.decode(engine_request.token_ids, skip_special_tokens=skip)


def _event(name: str, value: object) -> bytes:
    return b"event: %b\n: %b\n\n" % (name.encode(), msgspec.json.encode(value))

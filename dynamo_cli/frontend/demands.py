"""What a request asks of the engine beyond sampling; refused where a worker of the model does not declare it."""

from __future__ import annotations

from msgspec.structs import replace

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.frontend.models import ServedModel
from dynamo_cli.protocol.engine import EngineRequest, OutputOptions
from dynamo_cli.protocol.guided import guided_of
from dynamo_cli.protocol.openai import GenerateRequest


def add_demands(model: ServedModel, request: GenerateRequest, engine_requests: list[EngineRequest]) -> str | None:
    """Put logprobs and guided decoding into the requests; returns the field that guides, if one does.

    Raises InvalidRequest naming the field.
    """
    alternatives, guided = request.alternatives, guided_of(request)
    if alternatives is not None:
        if model.bundle is None or not all(card.logprobs for card in model.routed.cards.values()):
            raise InvalidRequest(f"logprobs: the engine of model {model.name} cannot tell them", "logprobs")
        output = OutputOptions(logprobs=alternatives)
        for engine_request in engine_requests:
            engine_request.output = output
    if guided is None:
        return None
    form, field = guided
    if not all(form.kind in card.guided for card in model.routed.cards.values()):
        raise InvalidRequest(
            f"{field}: the engine of model {model.name} cannot hold an answer to {_FORMS[form.kind]}", field
        )
    for engine_request in engine_requests:
        engine_request.guided = form
    return field


def fan_out(engine_requests: list[EngineRequest], n: int) -> list[EngineRequest]:
    """`n` choices of each: all the same but for the seed, which is one more for each."""
    return [_nth(engine_request, at) for engine_request in engine_requests for at in range(n)]


_FORMS = {
    "json": "a JSON schema",
    "regex": "a regular expression",
    "choice": "a list of choices",
    "grammar": "a grammar",
}
_SEEDS = 1 << 64


def _nth(request: EngineRequest, at: int) -> EngineRequest:
    seed = request.sampling.seed
    if seed is None or not at:
        return replace(request)
    turned = (seed + at + _SEEDS // 2) % _SEEDS - _SEEDS // 2
    return replace(request, sampling=replace(request.sampling, seed=turned))

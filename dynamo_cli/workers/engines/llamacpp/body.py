"""An EngineRequest in llama.cpp's words."""

from __future__ import annotations

from typing import Any

from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.workers.engines.llamacpp.grammar import grammar_of

_RANDOM_SEED = 0xFFFFFFFF  # the one seed that means: another one each time
_SAME = ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty")


def completion_body(
    request: EngineRequest, prompt: list[int] | str, n_predict: int, ignore_eos: bool, slot: int | None = None
) -> dict[str, Any]:
    """The body of POST /completion. What the request leaves open is llama.cpp's default, `slot` None its choice."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "prompt": prompt,
        "n_predict": n_predict,
        "ignore_eos": ignore_eos,
        "stream": True,
        "return_tokens": True,
        "cache_prompt": True,
        # A closed connection is noticed when something is written to it, so prompts report progress too.
        "return_progress": True,
    }
    if slot is not None:
        body["id_slot"] = slot
    for name in _SAME:
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    if sampling.repetition_penalty is not None:
        body["repeat_penalty"] = sampling.repetition_penalty
    if sampling.seed is not None:
        body["seed"] = sampling.seed % _RANDOM_SEED
    if sampling.logit_bias:
        body["logit_bias"] = list(sampling.logit_bias.items())
    if request.output.logprobs is not None:
        body["n_probs"] = max(1, request.output.logprobs)
    if request.guided is not None:
        body["grammar"] = grammar_of(request.guided)
    if isinstance(prompt, str) and request.stop.stop:
        body["stop"] = list(request.stop.stop)
    return body

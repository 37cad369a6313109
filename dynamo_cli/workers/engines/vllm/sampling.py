"""A request's sampling options in vLLM's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dynamo_cli.protocol.engine import EngineRequest, GuidedDecoding

GUIDED = ("json", "regex", "choice", "grammar")
_SAME_NAME = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logit_bias",
)
_SEEDS = 1 << 63


def sampling_arguments(request: EngineRequest, max_tokens: int, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of SamplingParams but for its output kind and structured outputs.

    `defaults`: what the model's own generation config says of options the request leaves out.
    """
    sampling, stop = request.sampling, request.stop
    arguments = {name: value for name, value in defaults.items() if name in _SAME_NAME}
    arguments |= {name: value for name in _SAME_NAME if (value := getattr(sampling, name)) is not None}
    if sampling.seed is not None:
        # To vLLM -1 is no seed, and Torch takes 64 bits at most.
        arguments["seed"] = sampling.seed % _SEEDS
    if stop.stop_token_ids:
        arguments["stop_token_ids"] = list(stop.stop_token_ids)
    if request.output.logprobs is not None:
        arguments["logprobs"] = request.output.logprobs
    arguments["max_tokens"] = max_tokens
    arguments["min_tokens"] = min(stop.min_tokens, max_tokens)
    arguments["ignore_eos"] = stop.ignore_eos
    arguments["detokenize"] = False
    if request.prefill_only:
        # vLLM keeps blocks for others only when the sequence was cut off by its length.
        arguments |= {"stop_token_ids": [], "ignore_eos": True, "min_tokens": 1, "max_tokens": 1}
    return arguments


def guided_arguments(guided: GuidedDecoding) -> dict[str, Any]:
    """Keyword arguments of StructuredOutputsParams."""
    value = getattr(guided, guided.kind)
    return {guided.kind: list(value) if guided.kind == "choice" else value}

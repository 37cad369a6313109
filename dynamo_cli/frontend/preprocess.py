"""From an OpenAI request to what the engine is asked: template, tokens, limits, options."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from dynamo_cli.errors import ContextTooLong, InvalidRequest
from dynamo_cli.frontend.models import ServedModel
from dynamo_cli.protocol.engine import EngineRequest, SamplingOptions, StopConditions
from dynamo_cli.protocol.openai import ChatRequest, CompletionRequest, GenerateRequest
from dynamo_cli.text.bundle import TextBundle

_SAMPLED = ("temperature", "top_p", "top_k", "min_p", "seed", "logit_bias")
_PENALTIES = ("presence_penalty", "frequency_penalty", "repetition_penalty")


def chat(model: ServedModel, request: ChatRequest) -> list[EngineRequest]:
    """Raises InvalidRequest, naming the field, and ContextTooLong."""
    max_tokens = request.max_completion_tokens or request.max_tokens
    bundle = model.bundle
    if bundle is None:
        _refuse_for_text(request)
        engine_request = _for_text(model, request, max_tokens)
        engine_request.messages = request.messages
        return [engine_request]
    ids = _token_data(request, bundle)
    if ids is None:
        text = _render(model, bundle, request)
        ids = _tokenize(model, bundle, bundle.encode_chat, text, "messages")
    return [_for_tokens(model, request, ids, max_tokens, "messages")]


def completion(model: ServedModel, request: CompletionRequest) -> list[EngineRequest]:
    """One for each prompt. Raises InvalidRequest, naming the field, and ContextTooLong."""
    bundle = model.bundle
    if bundle is None:
        _refuse_for_text(request)
    elif (ids := _token_data(request, bundle)) is not None:
        return [_for_tokens(model, request, ids, request.max_tokens, "prompt")]
    return [_completion_of(model, request, prompt) for prompt in request.prompts()]


def _completion_of(model: ServedModel, request: CompletionRequest, prompt: str | list[int]) -> EngineRequest:
    bundle = model.bundle
    if bundle is None:
        if not isinstance(prompt, str):
            raise InvalidRequest(f"prompt: model {model.name} takes text, not token ids", "prompt")
        engine_request = _for_text(model, request, request.max_tokens)
        engine_request.prompt = prompt
        return engine_request
    if isinstance(prompt, str):
        prompt = _tokenize(model, bundle, bundle.tokenizer.encode, prompt, "prompt")
    else:
        _check_ids(prompt, bundle, "prompt")
    return _for_tokens(model, request, prompt, request.max_tokens, "prompt")


def _render(model: ServedModel, bundle: TextBundle, request: ChatRequest) -> str:
    if bundle.template is None:
        raise InvalidRequest(f"model {model.name} has no chat template; use /v1/completions", "messages")
    extra: dict[str, Any] = {**(request.chat_template_args or {}), **(request.chat_template_kwargs or {})}
    if request.reasoning_effort is not None:
        extra.setdefault("reasoning_effort", request.reasoning_effort)
    began = perf_counter()
    text = bundle.template.render(
        request.messages, add_generation_prompt=request.add_generation_prompt is not False, **extra
    )
    model.counts.template.observe(perf_counter() - began)
    return text


def _tokenize(
    model: ServedModel, bundle: TextBundle, encode: Callable[[str], list[int]], text: str, param: str
) -> list[int]:
    """Raises ContextTooLong for what would hold up everybody else for nothing."""
    context = model.context_length
    if context and bundle.tokenizer.exceeds(text, context):
        raise ContextTooLong(
            f"{param}: the prompt has {len(text)} letters, which are more tokens than the model's context of {context}",
            param,
        )
    began = perf_counter()
    ids = encode(text)
    model.counts.tokenize.observe(perf_counter() - began)
    return ids


def _token_data(request: GenerateRequest, bundle: TextBundle) -> list[int] | None:
    ids = request.nvext.token_data if request.nvext is not None else None
    if ids is not None:
        _check_ids(ids, bundle, "nvext.token_data")
    return ids


def _check_ids(ids: list[int], bundle: TextBundle, param: str) -> None:
    if ids and max(ids) >= bundle.tokenizer.vocab_size:
        raise InvalidRequest(
            f"{param}: {max(ids)} is no token of the model, ids are below {bundle.tokenizer.vocab_size}", param
        )


def _for_tokens(
    model: ServedModel, request: GenerateRequest, ids: list[int], max_tokens: int | None, param: str
) -> EngineRequest:
    if not ids:
        raise InvalidRequest(f"{param}: the prompt is empty", param)
    context = model.context_length
    if context:
        max_tokens = _fit(len(ids), max_tokens, context, param)
    assert model.bundle is not None
    eos = () if request.ignore_eos else tuple(model.bundle.eos_token_ids)
    stop = StopConditions(
        max_tokens=max_tokens,
        min_tokens=request.min_tokens or 0,
        stop_token_ids=(*eos, *request.stop_token_ids) if request.stop_token_ids else eos,
        ignore_eos=bool(request.ignore_eos),
    )
    return EngineRequest(model=model.name, token_ids=ids, sampling=_sampling(request), stop=stop)


def _fit(prompt: int, max_tokens: int | None, context: int, param: str) -> int:
    """The tokens that may be generated."""
    if prompt >= context:
        raise ContextTooLong(
            f"{param}: the prompt has {prompt} tokens, which leaves no room in the model's context of {context}", param
        )
    if max_tokens is None:
        return context - prompt
    if prompt + max_tokens > context:
        raise ContextTooLong(
            f"max_tokens: {prompt} prompt tokens + {max_tokens} exceed the model's context of {context} tokens; "
            f"at most {context - prompt} can be generated",
            "max_tokens",
        )
    return max_tokens


def _for_text(model: ServedModel, request: GenerateRequest, max_tokens: int | None) -> EngineRequest:
    stop = StopConditions(
        max_tokens=max_tokens,
        min_tokens=request.min_tokens or 0,
        stop_token_ids=tuple(request.stop_token_ids or ()),
        ignore_eos=bool(request.ignore_eos),
        stop=request.stops,
    )
    return EngineRequest(model=model.name, sampling=_sampling(request), stop=stop)


def _refuse_for_text(request: GenerateRequest) -> None:
    """What only a server that tokenizes itself can do."""
    if request.nvext is not None and request.nvext.token_data is not None:
        raise InvalidRequest(f"nvext.token_data: model {request.model} takes text, not token ids", "nvext.token_data")
    for name in ("chat_template_kwargs", "chat_template_args"):
        if getattr(request, name, None):
            raise InvalidRequest(f"{name}: model {request.model} renders its own template", name)
    if request.skip_special_tokens is False:
        raise InvalidRequest(
            f"skip_special_tokens: model {request.model} answers in text, without them", "skip_special_tokens"
        )


_PLAIN = SamplingOptions()


def _sampling(request: GenerateRequest) -> SamplingOptions:
    options = {name: value for name in (*_SAMPLED, *_PENALTIES) if (value := getattr(request, name)) is not None}
    if request.nvext is not None and request.nvext.greed_sampling:
        options["temperature"] = 0.0
    return SamplingOptions(**options) if options else _PLAIN

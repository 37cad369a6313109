"""From an OpenAI request to what the engine is asked: template, tokens, limits, options."""

from __future__ import annotations

from collections.abc import Callable, Collection
from time import perf_counter
from typing import Any

from msgspec.structs import replace

from dynamo_cli.errors import ContextTooLong, InvalidRequest
from dynamo_cli.frontend.media import taken_media
from dynamo_cli.frontend.models import ServedModel
from dynamo_cli.protocol.engine import EngineRequest, SamplingOptions, StopConditions
from dynamo_cli.protocol.media import Media, without
from dynamo_cli.protocol.openai import ChatRequest, CompletionRequest, GenerateRequest, Message
from dynamo_cli.text.bundle import TextBundle
from dynamo_cli.text.messages import joined_text

_SAMPLED = ("temperature", "top_p", "top_k", "min_p", "seed", "logit_bias")
_OF_THE_TEMPLATE = ("chat_template_kwargs", "chat_template_args", "tools", "documents", "continue_final_message")
_PENALTIES = ("presence_penalty", "frequency_penalty", "repetition_penalty")


def chat(model: ServedModel, request: ChatRequest) -> list[EngineRequest]:
    """Raises InvalidRequest, naming the field, and ContextTooLong."""
    max_tokens = request.max_completion_tokens or request.max_tokens
    bundle, media = model.bundle, taken_media(model, request)
    if bundle is None:
        _refuse_for_text(request)
        engine_request = _for_text(model, request, max_tokens)
        engine_request.messages = [_in_one_text(message) for message in request.messages]
    else:
        ids = _token_data(request, bundle)
        if ids is None:
            ids = chat_ids(model, bundle, request)
            if media:
                _check_places(model, bundle, request, media)
        engine_request = _for_tokens(model, request, ids, max_tokens, "messages")
    if media:
        engine_request.media = media
    return [engine_request]


def _check_places(model: ServedModel, bundle: TextBundle, request: ChatRequest, media: list[Media]) -> None:
    """Raises InvalidRequest when the template leaves out media that the engine looks for in the prompt."""
    text = rendered(model, bundle, request)
    for kind in {one.kind for one in media}:
        if rendered(model, bundle, replace(request, messages=without(kind, request.messages))) == text:
            raise InvalidRequest(
                f"messages: the chat template of model {model.name} has no place for {kind}", "messages"
            )


def chat_ids(model: ServedModel, bundle: TextBundle, request: ChatRequest) -> list[int]:
    """The tokens of the rendered messages. Raises as `chat`."""
    text = rendered(model, bundle, request)
    return tokenized(model, bundle, bundle.encode_chat, text, "messages")


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
        prompt = tokenized(model, bundle, bundle.tokenizer.encode, prompt, "prompt")
    else:
        check_ids(prompt, bundle, "prompt")
    return _for_tokens(model, request, prompt, request.max_tokens, "prompt")


def rendered(model: ServedModel, bundle: TextBundle, request: ChatRequest) -> str:
    """The messages as the model's template writes them. Raises InvalidRequest."""
    if request.nvext is not None and request.nvext.use_raw_prompt:
        return "\n".join([joined_text(message.get("content"), "messages") for message in request.messages])
    if bundle.template is None:
        raise InvalidRequest(f"model {model.name} has no chat template; use /v1/completions", "messages")
    variables: dict[str, Any] = {**(request.chat_template_args or {}), **(request.chat_template_kwargs or {})}
    for name in ("self", "messages"):
        variables.pop(name, None)
    if request.reasoning_effort is not None:
        variables.setdefault("reasoning_effort", request.reasoning_effort)
    if request.tools and request.tool_choice != "none":
        variables["tools"] = request.tools
    if request.documents:
        variables["documents"] = request.documents
    if request.add_generation_prompt is not None:
        variables["add_generation_prompt"] = request.add_generation_prompt
    render = bundle.template.render_unfinished if request.continue_final_message else bundle.template.render
    began = perf_counter()
    text = render(request.messages, **variables)
    model.counts.template.observe(perf_counter() - began)
    return text


def tokenized(
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
    model.counts.tokenized(perf_counter() - began)
    return ids


def _token_data(request: GenerateRequest, bundle: TextBundle) -> list[int] | None:
    ids = request.nvext.token_data if request.nvext is not None else None
    if ids is not None:
        check_ids(ids, bundle, "nvext.token_data")
    return ids


def check_ids(ids: Collection[int], bundle: TextBundle, param: str) -> None:
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
        max_tokens = _fit(len(ids), max_tokens, context, param, _limit_of(request))
    if request.min_tokens and max_tokens is not None and request.min_tokens > max_tokens:
        raise InvalidRequest(f"min_tokens: {request.min_tokens} are more than the {max_tokens} allowed", "min_tokens")
    assert model.bundle is not None
    for name in ("logit_bias", "stop_token_ids"):
        if named := getattr(request, name):
            check_ids(named, model.bundle, name)
    eos = () if request.ignore_eos else tuple(model.bundle.eos_token_ids)
    stop = StopConditions(
        max_tokens=max_tokens,
        min_tokens=request.min_tokens or 0,
        stop_token_ids=(*eos, *request.stop_token_ids) if request.stop_token_ids else eos,
        ignore_eos=bool(request.ignore_eos),
    )
    return EngineRequest(model=model.name, token_ids=ids, sampling=_sampling(request), stop=stop)


def _limit_of(request: GenerateRequest) -> str:
    """The field that says how many tokens there may be."""
    return "max_completion_tokens" if getattr(request, "max_completion_tokens", None) else "max_tokens"


def _fit(prompt: int, max_tokens: int | None, context: int, param: str, limit: str) -> int:
    """The tokens that may be generated."""
    if prompt >= context:
        raise ContextTooLong(
            f"{param}: the prompt has {prompt} tokens, which leaves no room in the model's context of {context}", param
        )
    if max_tokens is None:
        return context - prompt
    if prompt + max_tokens > context:
        raise ContextTooLong(
            f"{limit}: {prompt} prompt tokens + {max_tokens} exceed the model's context of {context} tokens; "
            f"at most {context - prompt} can be generated",
            limit,
        )
    return max_tokens


def _for_text(model: ServedModel, request: GenerateRequest, max_tokens: int | None) -> EngineRequest:
    stop = StopConditions(
        max_tokens=max_tokens,
        min_tokens=request.min_tokens or 0,
        stop_token_ids=tuple(request.stop_token_ids or ()),
        ignore_eos=bool(request.ignore_eos),
        stop=() if request.include_stop_str_in_output else request.stops,
    )
    return EngineRequest(model=model.name, sampling=_sampling(request), stop=stop)


def _in_one_text(message: Message) -> Message:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": joined_text([part for part in content if part["type"] == "text"], "messages")}


def _refuse_for_text(request: GenerateRequest) -> None:
    """What only a server that tokenizes itself can do."""
    if request.nvext is not None and request.nvext.token_data is not None:
        raise InvalidRequest(f"nvext.token_data: model {request.model} takes text, not token ids", "nvext.token_data")
    of_the_template = [name for name in _OF_THE_TEMPLATE if getattr(request, name, None)]
    if request.nvext is not None and request.nvext.use_raw_prompt:
        of_the_template.append("nvext.use_raw_prompt")
    if getattr(request, "add_generation_prompt", None) is False:
        of_the_template.append("add_generation_prompt")
    for name in of_the_template:
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

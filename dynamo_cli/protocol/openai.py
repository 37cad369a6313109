"""The OpenAI requests this server answers, decoded once into types; wrong input names its field."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from dynamo_cli.errors import InvalidRequest

MAX_STOPS = 32
ROLES = frozenset(("system", "developer", "user", "assistant", "tool", "function"))

PositiveInt = Annotated[int, Meta(ge=1)]
NaturalInt = Annotated[int, Meta(ge=0)]
TokenId = Annotated[int, Meta(ge=0, lt=2**32)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Message = dict[str, Any]


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class NvExt(msgspec.Struct):
    """The reference's request extension. `backend_instance_id`: a number, or the hexadecimal id as text.

    `extra_fields`: what the answer shall tell about itself in its own `nvext`; names that are not known are ignored.
    """

    token_data: list[TokenId] | None = None
    backend_instance_id: NaturalInt | str | None = None
    greed_sampling: bool | None = None
    use_raw_prompt: bool | None = None
    max_thinking_tokens: int | None = None
    extra_fields: list[str] | None = None


class GenerateRequest(msgspec.Struct, kw_only=True):
    """What chat and completions have in common. Fields below the blank line are refused unless they say nothing."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: PositiveInt | None = None
    min_tokens: NaturalInt | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=-1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63) + 1, le=2**63 - 1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=2)] | None = None
    logit_bias: dict[TokenId, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[TokenId] | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    nvext: NvExt | None = None

    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    best_of: Annotated[int, Meta(ge=1, le=20)] | None = None
    use_beam_search: bool | None = None
    prompt_logprobs: int | None = None
    include_stop_str_in_output: bool | None = None
    allowed_token_ids: list[int] | None = None
    bad_words: list[str] | None = None
    truncate_prompt_tokens: int | None = None
    structured_outputs: Any = None
    guided_json: Any = None
    guided_regex: Any = None
    guided_choice: Any = None
    guided_grammar: Any = None

    @property
    def stops(self) -> tuple[str, ...]:
        if not self.stop:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatRequest(GenerateRequest, kw_only=True):
    messages: list[Message]
    max_completion_tokens: PositiveInt | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    chat_template_args: dict[str, Any] | None = None
    add_generation_prompt: bool | None = None

    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    modalities: list[str] | None = None
    audio: Any = None
    continue_final_message: bool | None = None
    documents: list[Any] | None = None


class CompletionRequest(GenerateRequest, kw_only=True):
    prompt: str | list[str | TokenId | list[TokenId]]

    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    suffix: str | None = None

    def prompts(self) -> list[str | list[int]]:
        """One text or token list for each choice. Raises InvalidRequest for an empty or mixed list."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        kinds = {type(item) for item in self.prompt}
        if len(kinds) != 1:
            raise InvalidRequest("prompt: want text, token ids, or a list of one of them", "prompt")
        if kinds == {int}:
            return [self.prompt]  # type: ignore[list-item]
        return self.prompt  # type: ignore[return-value]


_says_something: Callable[[Any], bool] = bool
_REFUSED: dict[str, Callable[[Any], bool]] = {
    "n": lambda value: value > 1,
    "best_of": lambda value: value > 1,
    "logprobs": lambda value: value is not False,
    "top_logprobs": lambda value: value is not None,
    "prompt_logprobs": lambda value: value is not None,
    "truncate_prompt_tokens": lambda value: value is not None,
    "response_format": lambda value: value.get("type") != "text",
    "modalities": lambda value: value != ["text"],
    "tools": _says_something,
    "functions": _says_something,
    "audio": _says_something,
    "documents": _says_something,
    "continue_final_message": _says_something,
    "echo": _says_something,
    "suffix": _says_something,
    "use_beam_search": _says_something,
    "include_stop_str_in_output": _says_something,
    "allowed_token_ids": _says_something,
    "bad_words": _says_something,
    "structured_outputs": _says_something,
    "guided_json": _says_something,
    "guided_regex": _says_something,
    "guided_choice": _says_something,
    "guided_grammar": _says_something,
}
_REFUSED_NVEXT = ("use_raw_prompt", "max_thinking_tokens")

_Request = TypeVar("_Request", bound=GenerateRequest)


def _refusals(kind: type[GenerateRequest]) -> list[tuple[str, Callable[[Any], bool]]]:
    return [(name, _REFUSED[name]) for name in kind.__struct_fields__ if name in _REFUSED]


_chat = (msgspec.json.Decoder(ChatRequest), _refusals(ChatRequest))
_completion = (msgspec.json.Decoder(CompletionRequest), _refusals(CompletionRequest))


def decode_chat(body: bytes) -> ChatRequest:
    """The body of POST /v1/chat/completions. Raises InvalidRequest naming the field."""
    request = _decode(body, *_chat)
    if not request.messages:
        raise InvalidRequest("messages: want at least one message", "messages")
    for index, message in enumerate(request.messages):
        _check_message(message, index)
    return request


def decode_completion(body: bytes) -> CompletionRequest:
    """The body of POST /v1/completions. Raises InvalidRequest naming the field."""
    request = _decode(body, *_completion)
    if not request.prompt and request.prompt != "":
        raise InvalidRequest("prompt: want text or token ids, got an empty list", "prompt")
    return request


def _decode(
    body: bytes, decoder: msgspec.json.Decoder[_Request], refusals: list[tuple[str, Callable[[Any], bool]]]
) -> _Request:
    try:
        request = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid_field(str(error)) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"the request body is not valid JSON: {error}") from None
    for name, changes_answer in refusals:
        value = getattr(request, name)
        if value is not None and changes_answer(value):
            raise InvalidRequest(f"{name}: not supported by this server yet", name)
    _check_common(request)
    return request


def _check_common(request: GenerateRequest) -> None:
    stops = request.stops
    if len(stops) > MAX_STOPS:
        raise InvalidRequest(f"stop: at most {MAX_STOPS} strings, got {len(stops)}", "stop")
    if "" in stops:
        raise InvalidRequest("stop: an empty string would stop everything", "stop")
    if request.nvext is not None:
        for name in _REFUSED_NVEXT:
            if getattr(request.nvext, name):
                raise InvalidRequest(f"nvext.{name}: not supported by this server yet", f"nvext.{name}")


_PLACE = re.compile(r"^(?P<what>.*) - at (?:`key` in )?`\$\.?(?P<param>[^`]*?)(?:\[\.\.\.\])?`$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")


def _invalid_field(text: str) -> InvalidRequest:
    """Turn msgspec's "Expected X, got Y - at `$.a.b`" into "a.b: expected X, got Y"."""
    place = _PLACE.match(text)
    what, param = (place["what"], place["param"]) if place else (text, "")
    missing = _MISSING.search(what)
    if missing:
        param = f"{param}.{missing['name']}" if param else missing["name"]
        return InvalidRequest(f"{param}: this field is required", param)
    what = what[:1].lower() + what[1:]
    return InvalidRequest(f"{param}: {what}" if param else f"the request body: {what}", param or None)


def _check_message(message: Message, index: int) -> None:
    """Check role and content; text parts are joined by newlines into plain text, as chat templates want."""
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        problem = "this field is required" if role is None else f"unknown role {role!r}"
        want = ", ".join(sorted(ROLES))
        raise InvalidRequest(f"messages[{index}].role: {problem}; want {want}", f"messages[{index}].role")
    content = message.get("content")
    if isinstance(content, str):
        return
    where = f"messages[{index}].content"
    if isinstance(content, list):
        message["content"] = "\n".join([_part_text(part, f"{where}[{at}]") for at, part in enumerate(content)])
    elif content is not None:
        raise InvalidRequest(f"{where}: want text or a list of parts, got {type(content).__name__}", where)
    elif role != "assistant":
        raise InvalidRequest(f"{where}: this field is required for role {role}", where)


def _part_text(part: Any, where: str) -> str:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise InvalidRequest(f"{where}: want an object with a type", where)
    kind = part["type"]
    text = part.get("text" if kind == "text" else "refusal")
    if kind not in ("text", "refusal"):
        raise InvalidRequest(f"{where}: parts of type {kind} are not supported by this server yet, only text", where)
    if not isinstance(text, str):
        raise InvalidRequest(f"{where}: want its text", where)
    return text

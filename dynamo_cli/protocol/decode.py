"""A request's body -> its type, checked once; wrong input names its field."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.messages import check_message, check_tools
from dynamo_cli.protocol.openai import ChatRequest, CompletionRequest, EmbeddingRequest, GenerateRequest

MAX_STOPS = 32
MAX_CHOICES = 2048
"""Of one answer: prompts times `n`."""

_says_something: Callable[[Any], bool] = bool
_REFUSED: dict[str, Callable[[Any], bool]] = {
    "prompt_logprobs": lambda value: value is not None,
    "truncate_prompt_tokens": lambda value: value is not None,
    "modalities": lambda value: value != ["text"],
    "functions": _says_something,
    "audio": lambda value: value is not None,
    "suffix": _says_something,
    "use_beam_search": _says_something,
    "allowed_token_ids": _says_something,
    "bad_words": _says_something,
}

_Request = TypeVar("_Request", GenerateRequest, ChatRequest, CompletionRequest, EmbeddingRequest)
_Any = TypeVar("_Any")


def _refusals(kind: type[msgspec.Struct]) -> list[tuple[str, Callable[[Any], bool]]]:
    return [(name, _REFUSED[name]) for name in kind.__struct_fields__ if name in _REFUSED]


_chat = (msgspec.json.Decoder(ChatRequest), _refusals(ChatRequest))
_completion = (msgspec.json.Decoder(CompletionRequest), _refusals(CompletionRequest))
_embedding = (msgspec.json.Decoder(EmbeddingRequest), _refusals(EmbeddingRequest))


def decode_chat(body: bytes) -> ChatRequest:
    """The body of POST /v1/chat/completions. Raises InvalidRequest naming the field."""
    request = _decode(body, *_chat)
    _check_common(request)
    check_chat(request)
    return request


def check_chat(request: ChatRequest) -> None:
    """Raises InvalidRequest naming the field that is wrong in itself or beside the others."""
    if not request.messages:
        raise InvalidRequest("messages: want at least one message", "messages")
    for index, message in enumerate(request.messages):
        check_message(message, index)
    if request.top_logprobs and not request.logprobs:
        raise InvalidRequest("top_logprobs: want logprobs set to true, too", "top_logprobs")
    if request.tools:
        check_tools(request.tools)
    if request.tool_choice not in (None, "none", "auto"):
        raise InvalidRequest('tool_choice: only "auto" and "none" are supported by this server yet', "tool_choice")
    if request.continue_final_message:
        _check_continuation(request)


def decode_completion(body: bytes) -> CompletionRequest:
    """The body of POST /v1/completions. Raises InvalidRequest naming the field."""
    request = _decode(body, *_completion)
    _check_common(request)
    if not request.prompt and request.prompt != "":
        raise InvalidRequest("prompt: want text or token ids, got an empty list", "prompt")
    if request.n is not None and request.n * len(request.prompts()) > MAX_CHOICES:
        raise InvalidRequest(f"n: at most {MAX_CHOICES} choices in one answer, of all prompts together", "n")
    return request


def decode_embedding(body: bytes) -> EmbeddingRequest:
    """The body of POST /v1/embeddings. Raises InvalidRequest naming the field."""
    request = _decode(body, *_embedding)
    if not request.input:
        raise InvalidRequest("input: want text or token ids, got nothing", "input")
    if len(request.inputs()) > MAX_CHOICES:
        raise InvalidRequest(f"input: at most {MAX_CHOICES} of them at once", "input")
    return request


def decode_body(body: bytes, decoder: msgspec.json.Decoder[_Any]) -> _Any:
    """Raises InvalidRequest naming the field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid_field(str(error)) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        # msgspec looks for the other half beyond the end of a short rest, and says that this is missing.
        half = _HALF.search(body[-_SHORT_REST:])
        what = f"a text holds {half[0].decode()}, half of a character" if half else error
        raise InvalidRequest(f"the request body is not valid JSON: {what}") from None


def _decode(
    body: bytes, decoder: msgspec.json.Decoder[_Request], refusals: list[tuple[str, Callable[[Any], bool]]]
) -> _Request:
    request = decode_body(body, decoder)
    for name, changes_answer in refusals:
        value = getattr(request, name)
        if value is not None and changes_answer(value):
            raise InvalidRequest(f"{name}: not supported by this server yet", name)
    return request


def _check_common(request: GenerateRequest) -> None:
    if request.stop:
        _check_stops(request.stops)
    if request.best_of is not None and request.best_of != (request.n or 1):
        raise InvalidRequest("best_of: not supported by this server, unless it equals n", "best_of")
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest("stream_options: only allowed when stream is true", "stream_options")


def _check_stops(stops: tuple[str, ...]) -> None:
    if len(stops) > MAX_STOPS:
        raise InvalidRequest(f"stop: at most {MAX_STOPS} strings, got {len(stops)}", "stop")
    if "" in stops:
        raise InvalidRequest("stop: an empty string would stop everything", "stop")


def _check_continuation(request: ChatRequest) -> None:
    where = "continue_final_message"
    if request.add_generation_prompt:
        raise InvalidRequest(f"{where}: not together with add_generation_prompt", where)
    last = request.messages[-1]
    if last["role"] != "assistant" or not last.get("content"):
        raise InvalidRequest(f"{where}: the last message must be the assistant's, and say something", where)


_HALF, _SHORT_REST = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u)"), 12
_PLACE = re.compile(r"^(?P<what>.*) - at (?:`key` in )?`\$\.?(?P<param>[^`]*?)(?:\[\.\.\.\])?`$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]+)`")


def _invalid_field(text: str) -> InvalidRequest:
    """Turn msgspec's "Expected X, got Y - at `$.a.b`" into "a.b: expected X, got Y"."""
    place = _PLACE.match(text)
    what, param = (place["what"], place["param"]) if place else (text, "")
    for problem, words in ((_MISSING, "this field is required"), (_UNKNOWN, "there is no such field")):
        if found := problem.search(what):
            param = f"{param}.{found['name']}" if param else found["name"]
            return InvalidRequest(f"{param}: {words}", param)
    what = what[:1].lower() + what[1:]
    return InvalidRequest(f"{param}: {what}" if param else f"the request body: {what}", param or None)

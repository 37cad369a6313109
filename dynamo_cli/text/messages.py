"""OpenAI messages as chat templates expect them."""

from __future__ import annotations

import json
from typing import Any

from dynamo_cli.errors import InvalidRequest


def plain_messages(
    messages: list[dict[str, Any]], *, as_parts: bool = False, media: bool = False
) -> list[dict[str, Any]]:
    """Text parts joined by line breaks, arguments of tool calls as objects. The originals stay as they are.

    `as_parts`: every text as a list of parts instead. `media`: a message with other parts than text stays a list of
    them. Raises InvalidRequest for a part that is not text otherwise.
    """
    return [_plain(number, message, as_parts, media) for number, message in enumerate(messages)]


def has_media(message: dict[str, Any]) -> bool:
    """Whether it has a part that is not text."""
    content = message.get("content")
    return isinstance(content, list) and any(part.get("type") != "text" for part in content if isinstance(part, dict))


def joined_text(content: Any, place: str) -> str:
    """The text of a message's content. Raises InvalidRequest for a part that is not text."""
    if isinstance(content, (list, tuple)):
        return "\n".join([_text(part, f"{place}[{index}]") for index, part in enumerate(content)])
    return content or ""


def _plain(number: int, message: dict[str, Any], as_parts: bool, media: bool) -> dict[str, Any]:
    content, calls = message.get("content"), message.get("tool_calls")
    if as_parts and isinstance(content, str):
        message = {**message, "content": [{"type": "text", "text": content}]}
    elif isinstance(content, (list, tuple)) and not as_parts and not (media and has_media(message)):
        message = {**message, "content": joined_text(content, f"messages[{number}].content")}
    if calls:
        message = {**message, "tool_calls": [_with_object_arguments(call) for call in calls]}
    return message


def _text(part: Any, place: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    raise InvalidRequest(f"{place}: this model takes text only, not {kind}", place)


def _with_object_arguments(call: Any) -> Any:
    """Templates print the arguments as JSON themselves: a string would be quoted twice."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        return call
    return {**call, "function": {**function, "arguments": arguments}} if isinstance(arguments, dict) else call

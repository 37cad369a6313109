"""What a chat's messages and tools must be, whatever model answers."""

from __future__ import annotations

from typing import Any

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.media import PARTS, media_part

ROLES = frozenset(("system", "developer", "user", "assistant", "tool", "function"))


def check_message(message: dict[str, Any], index: int) -> None:
    """Check what templates rely on; parts become plain `{"type": "text"}` ones, or media. Fields that say nothing go.

    Raises InvalidRequest naming the place.
    """
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        problem = "this field is required" if role is None else f"unknown role {role!r}"
        want = ", ".join(sorted(ROLES))
        raise InvalidRequest(f"messages[{index}].role: {problem}; want {want}", f"messages[{index}].role")
    content = message.get("content")
    if isinstance(content, str):
        if len(message) == 2:
            return
    elif isinstance(content, list):
        where = f"messages[{index}].content"
        message["content"] = [_part(part, f"{where}[{at}]") for at, part in enumerate(content)]
    elif content is not None:
        where = f"messages[{index}].content"
        raise InvalidRequest(f"{where}: want text or a list of parts, got {type(content).__name__}", where)
    elif role != "assistant":
        where = f"messages[{index}].content"
        raise InvalidRequest(f"{where}: this field is required for role {role}", where)
    _check_the_rest(message, f"messages[{index}]")


def check_tools(tools: list[dict[str, Any]]) -> None:
    """Raises InvalidRequest naming the tool that is none."""
    for index, tool in enumerate(tools):
        function = tool.get("function")
        where = f"tools[{index}]"
        if tool.get("type") != "function" or not isinstance(function, dict):
            raise InvalidRequest(f'{where}: want {{"type": "function", "function": {{...}}}}', where)
        where = f"{where}.function"
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise InvalidRequest(f"{where}.name: this field is required", f"{where}.name")
        _want(function, "description", where, (str,), "text")
        _want(function, "parameters", where, (dict,), "a JSON schema, an object")


def _check_the_rest(message: dict[str, Any], where: str) -> None:
    # Clients send back whole messages of theirs, and many a template only asks whether a field is there.
    for name in [name for name, value in message.items() if value is None and name != "content"]:
        del message[name]
    if message.get("tool_calls") == []:
        del message["tool_calls"]
    for name in ("name", "tool_call_id"):
        _want(message, name, where, (str,), "text")
    _want(message, "tool_calls", where, (list,), "a list of calls")
    for at, call in enumerate(message.get("tool_calls") or ()):
        _check_call(call, f"{where}.tool_calls[{at}]")


def _check_call(call: Any, where: str) -> None:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or call.get("type") not in (None, "function"):
        raise InvalidRequest(f'{where}: want {{"type": "function", "function": {{...}}}}', where)
    _want(call, "id", where, (str,), "text")
    where = f"{where}.function"
    if not isinstance(function.get("name"), str):
        raise InvalidRequest(f"{where}.name: this field is required", f"{where}.name")
    _want(function, "arguments", where, (str, dict), "JSON as text, or an object")


def _want(owner: dict[str, Any], name: str, where: str, kinds: tuple[type, ...], what: str) -> None:
    """Null is absent."""
    value = owner.get(name)
    if value is not None and not isinstance(value, kinds):
        raise InvalidRequest(f"{where}.{name}: want {what}, got {type(value).__name__}", f"{where}.{name}")


def _part(part: Any, where: str) -> dict[str, Any]:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise InvalidRequest(f"{where}: want an object with a type", where)
    kind = part["type"]
    if kind in PARTS:
        return media_part(part, where)
    if kind not in ("text", "refusal"):
        raise InvalidRequest(f"{where}: there is no part of type {kind!r}; want text, {', '.join(PARTS)}", where)
    text = part.get(kind)
    if not isinstance(text, str):
        raise InvalidRequest(f"{where}.{kind}: want its text", f"{where}.{kind}")
    return {"type": "text", "text": text}

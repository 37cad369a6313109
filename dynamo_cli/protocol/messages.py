"""What a chat's messages and tools must be, whatever model answers."""

from __future__ import annotations

from typing import Any

from dynamo_cli.errors import InvalidRequest

ROLES = frozenset(("system", "developer", "user", "assistant", "tool", "function"))


def check_message(message: dict[str, Any], index: int) -> None:
    """Check role and content; parts become plain `{"type": "text"}` ones. Raises InvalidRequest naming the place."""
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
        message["content"] = [_text_part(part, f"{where}[{at}]") for at, part in enumerate(content)]
    elif content is not None:
        raise InvalidRequest(f"{where}: want text or a list of parts, got {type(content).__name__}", where)
    elif role != "assistant":
        raise InvalidRequest(f"{where}: this field is required for role {role}", where)


def check_tools(tools: list[dict[str, Any]]) -> None:
    """Raises InvalidRequest naming the tool that is none."""
    for index, tool in enumerate(tools):
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict):
            where = f"tools[{index}]"
            raise InvalidRequest(f'{where}: want {{"type": "function", "function": {{...}}}}', where)
        if not isinstance(function.get("name"), str) or not function["name"]:
            where = f"tools[{index}].function.name"
            raise InvalidRequest(f"{where}: this field is required", where)


def _text_part(part: Any, where: str) -> dict[str, str]:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise InvalidRequest(f"{where}: want an object with a type", where)
    kind = part["type"]
    if kind not in ("text", "refusal"):
        raise InvalidRequest(f"{where}: this server takes text only, not {kind}", where)
    text = part.get(kind)
    if not isinstance(text, str):
        raise InvalidRequest(f"{where}.{kind}: want its text", f"{where}.{kind}")
    return {"type": "text", "text": text}

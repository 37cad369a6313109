"""What a request says, for engines that take text and count it in words."""

from __future__ import annotations

import re
from typing import Any

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.engine import EngineRequest

_PIECE = re.compile(r"\s*\S+|\s+")


def pieces(text: str) -> list[str]:
    """Words with the white space before them; joined they are the text."""
    return _PIECE.findall(text)


def last_message(request: EngineRequest) -> str:
    """The prompt of a completion, the last message of role user of a chat. Raises InvalidRequest without either."""
    if request.messages is None:
        if request.prompt is None:
            raise InvalidRequest(
                "there are neither messages nor a prompt: this engine takes text, no token ids", "prompt"
            )
        return request.prompt
    for message in reversed(request.messages):
        if message.get("role") == "user":
            return _text(message.get("content"))
    raise InvalidRequest("no message has the role user", "messages")


def prompt_pieces(request: EngineRequest) -> int:
    """How many pieces the whole prompt has."""
    texts = [_text(message.get("content")) for message in request.messages or []]
    return sum(len(pieces(text)) for text in [*texts, request.prompt or ""])


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")

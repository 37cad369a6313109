"""Streams the last user message, or the prompt, verbatim: any text can be sent through a real process."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from typing import Any

from dynamo_cli.errors import EngineDied, InvalidRequest, UsageError
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage, FinishReason
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Engine, EngineInfo
from dynamo_cli.workers.engines.echo.spec import EchoOptions

_PIECE = re.compile(r"\s*\S+|\s+")


def pieces(text: str) -> list[str]:
    """Words with the white space before them; joined they are the text."""
    return _PIECE.findall(text)


class EchoEngine(Engine):
    def __init__(self, options: EchoOptions) -> None:
        self._delay_s = _delay_ms(options) / 1000
        self._stopped = False

    async def start(self) -> EngineInfo:
        return EngineInfo(input="text", resumes=True)

    async def generate(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        if self._stopped:
            raise EngineDied("the echo engine has stopped")
        if request.output.logprobs is not None:
            raise InvalidRequest("the echo engine has no logprobs", "logprobs")
        if request.guided is not None:
            raise InvalidRequest("the echo engine cannot guide its text")
        said, stopped = _until_stop(_spoken(request), request.stop.stop)
        words = pieces(said)[request.generated :]
        limit = request.stop.max_tokens
        finish: FinishReason = "stop" if stopped or limit is None or len(words) <= limit else "length"
        words = words[:limit]
        sent = 0
        for word in words:
            await asyncio.sleep(self._delay_s)
            if context.stopped or self._stopped:
                finish = "cancelled"
                break
            sent += 1
            yield Delta(text=word)
        yield Delta(finish_reason=finish, usage=EngineUsage(_prompt_pieces(request), sent))

    async def stop(self) -> None:
        self._stopped = True


def _delay_ms(options: EchoOptions) -> float:
    if options.delay_ms is not None:
        return options.delay_ms
    text = os.environ.get("DYN_TOKEN_ECHO_DELAY_MS") or "0"
    try:
        return max(0.0, float(text))
    except ValueError:
        raise UsageError(f"DYN_TOKEN_ECHO_DELAY_MS is {text!r}, not a number of milliseconds") from None


def _spoken(request: EngineRequest) -> str:
    if request.messages is None:
        if request.prompt is None:
            raise InvalidRequest("the echo engine takes messages or a prompt, not token ids")
        return request.prompt
    for message in reversed(request.messages):
        if message.get("role") == "user":
            return _text(message.get("content"))
    raise InvalidRequest("no message has the role user", "messages")


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _until_stop(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    found = [at for at in (text.find(stop) for stop in stops if stop) if at >= 0]
    return (text[: min(found)], True) if found else (text, False)


def _prompt_pieces(request: EngineRequest) -> int:
    texts = [_text(message.get("content")) for message in request.messages or []]
    return sum(len(pieces(text)) for text in [*texts, request.prompt or ""])

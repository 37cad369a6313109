"""Streams the last user message, or the prompt, verbatim: any text can be sent through a real process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from dynamo_cli.errors import EngineDied, InvalidRequest, UsageError
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage, FinishReason
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Engine, EngineInfo
from dynamo_cli.workers.engines.echo.spec import EchoOptions
from dynamo_cli.workers.engines.text_input import last_message, pieces, prompt_pieces


class EchoEngine(Engine):
    def __init__(self, options: EchoOptions) -> None:
        self._delay_s = _delay_ms(options) / 1000
        self._stopped = False

    async def start(self) -> EngineInfo:
        return EngineInfo(input="text", resumes=True, prefix_caching=False)

    async def generate(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        if self._stopped:
            raise EngineDied("the echo engine has stopped")
        if request.output.logprobs is not None:
            raise InvalidRequest("the echo engine has no logprobs", "logprobs")
        if request.guided is not None:
            raise InvalidRequest("the echo engine cannot guide its text")
        said, stopped = _until_stop(last_message(request), request.stop.stop)
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
        yield Delta(finish_reason=finish, usage=EngineUsage(prompt_pieces(request), sent))

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


def _until_stop(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    found = [at for at in (text.find(stop) for stop in stops if stop) if at >= 0]
    return (text[: min(found)], True) if found else (text, False)

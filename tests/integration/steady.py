"""Streams without a pause: as one ends the next begins, until what is watched is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.integration.answers import Answer, Load


class Served(NamedTuple):
    """`whole`: streams that came to their end. `failures`: what became of the others."""

    whole: int
    failures: list[str]


def serve_while(work: Callable[[], Any], url: str, body: dict[str, Any], streams: int = 16) -> Served:
    """Keep so many streams of `body` going while `work` runs in a thread of its own."""
    return asyncio.run(_serve_while(work, url, body, streams))


async def _serve_while(work: Callable[[], Any], url: str, body: dict[str, Any], streams: int) -> Served:
    answers: list[Answer] = []
    over = asyncio.Event()

    async def again_and_again() -> None:
        while not over.is_set():
            answers.extend(await Load(url, [body]).run())

    running = [asyncio.create_task(again_and_again()) for _ in range(streams)]
    try:
        await asyncio.to_thread(work)
    finally:
        over.set()
        await asyncio.gather(*running)
    failures = [_failure(answer, body["max_tokens"]) for answer in answers]
    return Served(len(answers), [failure for failure in failures if failure])


def _failure(answer: Answer, tokens: int) -> str:
    if answer.error:
        return answer.error
    if (answer.reason, answer.done, answer.usage.get("completion_tokens")) != ("length", True, tokens):
        return f"cut: {answer}"
    return ""

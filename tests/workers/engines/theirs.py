"""Engines as users write them, good ones and bad ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from dynamo_cli.api import Context, Delta, Engine, EngineInfo, EngineRequest, last_message
from dynamo_cli.errors import InvalidRequest
from dynamo_cli.workers.engines.base import EngineLaunch


class Backwards:
    """`died`: set when what it runs on has died."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.died = asyncio.Event()

    async def failed(self) -> str:
        await self.died.wait()
        return "the words ran out"

    async def generate(self, request: EngineRequest) -> AsyncIterator[str]:
        for word in reversed(last_message(request).split()):
            await asyncio.sleep(self.delay_s)
            yield word + " "


async def spell(request: EngineRequest, *, separator: str = "-") -> AsyncIterator[str]:
    """A function for an engine."""
    for letter in last_message(request):
        yield letter + separator


class Lifetime:
    """Notes what it is called for. `log` is shared with the test."""

    input = "text"
    context_length = 99
    max_num_seqs = 1

    def __init__(self, launch: EngineLaunch) -> None:
        self.launch = launch
        self.log: list[str] = []

    async def start(self) -> None:
        self.log.append(f"start {self.launch.model_name}")

    def drain(self) -> None:
        self.log.append("drain")

    async def stop(self) -> None:
        self.log.append("stop")

    async def generate(self, request: EngineRequest, context: Context) -> AsyncIterator[Any]:
        self.log.append(f"generate {context.id}")
        try:
            yield None
            yield {"text": "a "}
            yield Delta(text="b ")
            await asyncio.Event().wait()
        finally:
            self.log.append("closed")


class Broken:
    """Does with each request what its prompt says."""

    async def generate(self, request: EngineRequest) -> AsyncIterator[Any]:
        yield "so far "
        match request.prompt:
            case "raise":
                raise ValueError("no such word\nand more")
            case "refuse":
                raise InvalidRequest("not this", "prompt")
            case "tokens":
                yield [1, 2]
            case "nonsense":
                yield 1.5
            case "field":
                yield {"tokens": [1]}
            case "forsake":
                forsaken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                forsaken.cancel()
                await forsaken
            case "finish":
                yield {"text": "x", "finish_reason": "length"}
        yield "and on"


class Spinning:
    """Never waits for anything."""

    async def generate(self, request: EngineRequest) -> AsyncIterator[str]:
        while True:
            yield "round "


class Stubborn:
    """Goes on when it is cancelled."""

    async def generate(self, request: EngineRequest) -> AsyncIterator[str]:
        while True:
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                yield "no "
            yield "more "


class Liar:
    input = "text"
    context_length = "long"

    async def generate(self, request: EngineRequest) -> AsyncIterator[str]:
        yield ""


class Clumsy(Backwards):
    """Ends badly."""

    async def drain(self) -> None:
        raise ValueError("cannot drain")

    async def stop(self) -> None:
        raise ValueError("cannot stop")


class Undrained(Backwards):
    async def drain(self) -> None:
        await asyncio.Event().wait()


class Fails:
    def __init__(self) -> None:
        raise OSError("the weights are gone")


class FailsLater:
    async def start(self) -> None:
        raise RuntimeError("out of memory")

    async def generate(self, request: EngineRequest) -> AsyncIterator[str]:
        yield ""


class Plain:
    async def generate(self, request: EngineRequest) -> str:
        return "x"


class Blocking:
    def generate(self, request: EngineRequest) -> Any:
        yield "x"


class Silent:
    pass


NUMBER = 7


class Whole(Engine):
    def __init__(self, word: str = "whole") -> None:
        self.word = word

    async def start(self) -> EngineInfo:
        return EngineInfo(input="text")

    async def generate(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        yield Delta(text=self.word, finish_reason="stop")

    async def stop(self) -> None:
        pass

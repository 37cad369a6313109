"""Streamed completions of a set length, and when their pieces came."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import httpx

from tests.integration.real_model.conftest import Agg


class Streamed:
    """`times` holds when each piece came, by time.monotonic."""

    def __init__(self, client: httpx.AsyncClient, agg: Agg, prompt: list[int], max_tokens: int) -> None:
        self.times: list[float] = []
        body = {"model": agg.model, "prompt": prompt, "temperature": 0, "stream": True}
        body |= {"max_tokens": max_tokens, "ignore_eos": True}
        self.task = asyncio.create_task(self._read(client, f"{agg.url}/v1/completions", body))

    async def _read(self, client: httpx.AsyncClient, url: str, body: dict[str, object]) -> None:
        async with client.stream("POST", url, json=body) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {") and json.loads(line[6:])["choices"][0]["text"]:
                    self.times.append(time.monotonic())

    async def leave(self) -> float:
        """Hang up; when that began."""
        began = time.monotonic()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        return began


async def until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.002)

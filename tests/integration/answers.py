"""Many streamed completions at once, and what a client sees of each."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Answer:
    """`gaps`: seconds between two pieces. `workers`: who answered, by the supervisor's names, in order."""

    text: str = ""
    reason: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    done: bool = False
    gaps: list[float] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    _last: float = 0.0

    def take(self, line: str) -> None:
        if line == "data: [DONE]":
            self.done = True
        if not line.startswith("data: {"):
            return
        event = json.loads(line[6:])
        if "error" in event:
            self.error = event["error"]["message"]
            return
        self.usage = event.get("usage") or self.usage
        worker = event.get("nvext", {}).get("worker_id", {}).get("decode_worker", "")
        if event["choices"] and worker and self.workers[-1:] != [worker]:
            self.workers.append(worker)
        for choice in event["choices"]:
            self._piece(choice)

    def _piece(self, choice: dict[str, Any]) -> None:
        self.reason = choice["finish_reason"] or self.reason
        if not choice["text"]:
            return
        self.text += choice["text"]
        now = time.monotonic()
        if self._last:
            self.gaps.append(now - self._last)
        self._last = now


class Load:
    """Streams that run as tasks; `answers` fill up."""

    def __init__(self, url: str, bodies: list[dict[str, Any]]) -> None:
        self.answers = [Answer() for _ in bodies]
        self._url = f"{url}/v1/completions"
        self._bodies = bodies

    async def run(self, disturb: Any = None) -> list[Answer]:
        """Until all have ended; `disturb` is awaited once every stream has begun."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=30.0, limits=limits) as client:
            pairs = zip(self._bodies, self.answers, strict=True)
            tasks = [asyncio.create_task(self._one(client, body, answer)) for body, answer in pairs]
            if disturb is not None:
                while not all(answer.text for answer in self.answers):
                    await asyncio.sleep(0.005)
                await disturb()
            await asyncio.gather(*tasks)
        return self.answers

    async def _one(self, client: httpx.AsyncClient, body: dict[str, Any], answer: Answer) -> None:
        more = {"stream": True, "stream_options": {"include_usage": True}, "nvext": {"extra_fields": ["worker_id"]}}
        try:
            async with client.stream("POST", self._url, json=body | more) as response:
                if response.status_code != 200:
                    answer.error = (await response.aread()).decode()
                async for line in response.aiter_lines():
                    answer.take(line)
        except httpx.HTTPError as error:
            answer.error = f"{type(error).__name__}: {error}"

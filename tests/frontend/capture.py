"""A worker that remembers what it was asked and says what it is told to say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.runtime.context import Context
from tests.frontend.toy import MODEL, Deployment, echo

HELLO = [{"role": "user", "content": "hello"}]


class Asked(list[EngineRequest]):
    """The requests, in the order they came; each is answered as the toy's echo does."""

    async def __call__(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        self.append(request)
        async for delta in echo(request, context):
            yield delta

    @property
    def only(self) -> EngineRequest:
        (request,) = self
        return request


@asynccontextmanager
async def asking(deployment: Deployment, worker: Any, **can: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the deployment, started with this one worker."""
    await deployment.start()
    await deployment.add_worker(worker, **can)
    await deployment.ready()
    async with httpx.AsyncClient(base_url=deployment.url, trust_env=False) as http:
        yield http


async def chat(http: httpx.AsyncClient, **fields: Any) -> Any:
    answer = await http.post("/v1/chat/completions", json={"model": MODEL, "messages": HELLO, **fields})
    return answer.json()


async def complete(http: httpx.AsyncClient, **fields: Any) -> Any:
    return (await http.post("/v1/completions", json={"model": MODEL, **fields})).json()

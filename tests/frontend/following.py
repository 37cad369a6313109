"""A toy deployment that is followed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from dynamo_cli.frontend.app import FrontendOptions
from dynamo_cli.frontend.following import Following
from dynamo_cli.frontend.journal import Listener
from tests.frontend.toy import Deployment, Worker, echo


@asynccontextmanager
async def followed(
    deployment: Deployment, *listeners: Listener, worker: Worker = echo, admin: bool = False, service: str = ""
) -> AsyncIterator[httpx.AsyncClient]:
    await deployment.start(FrontendOptions(following=Following(listeners)), admin=admin)
    await deployment.add_worker(worker, service=service)
    await deployment.ready()
    async with httpx.AsyncClient(base_url=deployment.url, trust_env=False) as http:
        yield http

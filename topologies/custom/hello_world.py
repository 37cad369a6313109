"""An endpoint of your own, and its client: the greeter says hello to each word it is sent."""

import asyncio
import sys
from collections.abc import AsyncIterator

from dynamo_cli.api import DistributedRuntime, dynamo_endpoint, dynamo_worker, run

ENDPOINT = "hello_world.backend.generate"


@dynamo_endpoint(str, str)
async def greet(request: str) -> AsyncIterator[str]:
    for word in request.split(","):
        await asyncio.sleep(0.1)
        yield f"Hello {word}!"


@dynamo_worker()
async def serve(runtime: DistributedRuntime) -> None:
    await runtime.endpoint(ENDPOINT).serve_endpoint(greet)


@dynamo_worker()
async def ask(runtime: DistributedRuntime) -> None:
    client = await runtime.endpoint(ENDPOINT).client()
    await client.wait_for_instances()
    async for answer in await client.generate("world,sun,moon,star"):
        sys.stdout.write(f"{answer.data()}\n")


if __name__ == "__main__":
    run(ask() if "ask" in sys.argv else serve())

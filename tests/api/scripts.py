"""A process on the API, which does what its first argument says."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from dynamo_cli.api import (
    Context,
    DistributedRuntime,
    EngineRequest,
    ModelInput,
    ModelType,
    dynamo_worker,
    last_message,
    register_model,
    run,
)

ENDPOINT = "hello.backend.generate"


async def count(request: Any, context: Context) -> AsyncIterator[Any]:
    """Numbers until stopped, or as many as asked; `fail` and `check` on request."""
    if request == "fail":
        raise ValueError("asked to")
    if request == "check":
        yield "healthy"
        return
    for number in range(request["to"]):
        if context.is_stopped():
            return
        yield {"number": number, "id": context.id}
        await asyncio.sleep(request.get("pause_s", 0))


async def ill(request: Any) -> AsyncIterator[Any]:
    raise OSError("no disk")
    yield


async def shout(request: EngineRequest) -> AsyncIterator[str]:
    for word in last_message(request).split():
        yield word.upper() + " "


@dynamo_worker()
async def serve(runtime: DistributedRuntime, graceful: bool) -> str:
    endpoint = runtime.namespace("hello").component("backend").endpoint("generate")
    await endpoint.serve_endpoint(
        count, graceful_shutdown=graceful, metrics_labels=[("team", 'a"b')], health_check_payload="check"
    )
    sys.stdout.write("served\n")
    return "served"


@dynamo_worker()
async def serve_ill(runtime: DistributedRuntime) -> None:
    await runtime.endpoint(ENDPOINT).serve_endpoint(ill, health_check_payload="check")


@dynamo_worker()
async def model(runtime: DistributedRuntime) -> None:
    endpoint = runtime.endpoint("dynamo.backend.generate")
    await register_model(ModelInput.Text, ModelType.Chat | ModelType.Completions, endpoint, model_name="shouter")
    await endpoint.serve_endpoint(shout)


@dynamo_worker()
async def tokens(runtime: DistributedRuntime, path: str) -> None:
    async def repeat(request: EngineRequest) -> AsyncIterator[list[int]]:
        while True:
            yield request.token_ids

    endpoint = runtime.endpoint("dynamo.backend.generate")
    await register_model(ModelInput.Tokens, ModelType.Completions, endpoint, path, "repeater", context_length=64)
    await endpoint.serve_endpoint(repeat)


@dynamo_worker()
async def idle(runtime: DistributedRuntime) -> None:
    sys.stdout.write("idle\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


@dynamo_worker()
async def misnamed(runtime: DistributedRuntime) -> None:
    runtime.endpoint("nowhere")


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    mains = {
        "serve": lambda: serve(True),
        "cut": lambda: serve(False),
        "ill": serve_ill,
        "model": model,
        "tokens": lambda: tokens(*rest),
        "idle": idle,
        "misnamed": misnamed,
    }
    if name == "idle":
        asyncio.run(idle())  # as scripts of the reference do it
    else:
        run(mains[name]())

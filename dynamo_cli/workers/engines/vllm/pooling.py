"""Embeddings of vLLM's pooling models."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from dynamo_cli.errors import Cancelled, UsageError
from dynamo_cli.protocol.engine import Embedding
from dynamo_cli.runtime.context import Context


def makes_embeddings(tasks: Collection[str]) -> bool:
    """Raises UsageError for a model that does neither this nor generate."""
    if "generate" in tasks:
        return False
    if "embed" not in tasks:
        raise UsageError(f"engine vllm: this model neither generates nor makes embeddings; it can {', '.join(tasks)}")
    return True


def embedding_size(model_config: Any) -> int:
    size: int = getattr(model_config, "embedding_size", 0) or model_config.get_hidden_size()
    return size


async def embedding(
    engine: Any, prompt: Any, wanted: Embedding | None, number: str, adapter: Any, context: Context
) -> list[float]:
    from vllm.pooling_params import PoolingParams

    asked = PoolingParams(task="embed", dimensions=wanted.dimensions if wanted else None)
    found = engine.encode(prompt, asked, number, lora_request=adapter)
    answer = asyncio.ensure_future(anext(found))
    context.on_stop(answer.cancel)
    try:
        vector: list[float] = (await answer).outputs.data.tolist()
    except asyncio.CancelledError:
        if context.stopped:
            raise Cancelled("the client has gone") from None
        raise
    return vector

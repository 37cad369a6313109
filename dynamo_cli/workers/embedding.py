"""An engine that makes embeddings, asked as those are that generate: its only delta holds the vector."""

from __future__ import annotations

import sys
from array import array
from collections.abc import AsyncIterator, Callable

from dynamo_cli.errors import Cancelled, EngineFailed, InvalidRequest
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Engine, EngineInfo

Answering = Callable[[EngineRequest, Context], AsyncIterator[Delta]]


def answering(engine: Engine, info: EngineInfo) -> Answering:
    """How the engine is asked, whatever it makes. Raises InvalidRequest when it is asked for what it does not make."""
    if not info.embedding_size:
        return engine.generate

    async def embed(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        usage = EngineUsage(len(request.token_ids), 0)
        try:
            vector = await engine.embed(request, context)
        except Cancelled:
            yield Delta(finish_reason="cancelled", usage=usage)
            return
        wanted = info.embedding_size
        if request.embedding is not None and request.embedding.dimensions is not None:
            wanted = request.embedding.dimensions
        if len(vector) != wanted:
            raise EngineFailed(f"the engine made a vector of {len(vector)} numbers, not {wanted}")
        yield Delta(finish_reason="stop", usage=usage, vector=packed(vector))

    return embed


def check_kind(request: EngineRequest, info: EngineInfo) -> None:
    """Raises InvalidRequest when the engine does not make what is asked for."""
    if (request.embedding is not None) == bool(info.embedding_size):
        return
    if request.embedding is None:
        raise InvalidRequest("this model makes embeddings; it generates nothing", "model")
    raise InvalidRequest("this model generates text; it makes no embeddings", "model")


def packed(vector: list[float]) -> bytes:
    """As little-endian floats of 32 bits."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()

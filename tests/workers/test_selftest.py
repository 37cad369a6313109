from __future__ import annotations

import pytest

from dynamo_cli.errors import EngineFailed
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import EngineInfo
from dynamo_cli.workers.engines.echo.engine import EchoEngine
from dynamo_cli.workers.engines.echo.spec import EchoOptions
from dynamo_cli.workers.selftest import generate_one_token


class Vectors(EchoEngine):
    async def embed(self, request: EngineRequest, context: Context) -> list[float]:
        return [0.5] * 3


async def test_an_engine_of_vectors_is_asked_for_one() -> None:
    engine = Vectors(EchoOptions())
    await generate_one_token(engine, EngineInfo(embedding_size=3), "m")
    with pytest.raises(EngineFailed, match="not of the size"):
        await generate_one_token(engine, EngineInfo(embedding_size=4), "m")

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dynamo_cli.errors import EngineFailed
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import EngineInfo
from dynamo_cli.workers.engines.echo.engine import EchoEngine
from dynamo_cli.workers.engines.echo.spec import EchoOptions
from dynamo_cli.workers.selftest import generate_one_token, hand_one_over


class Vectors(EchoEngine):
    async def embed(self, request: EngineRequest, context: Context) -> list[float]:
        return [0.5] * 3


async def test_an_engine_of_vectors_is_asked_for_one() -> None:
    engine = Vectors(EchoOptions())
    await generate_one_token(engine, EngineInfo(embedding_size=3), "m")
    with pytest.raises(EngineFailed, match="not of the size"):
        await generate_one_token(engine, EngineInfo(embedding_size=4), "m")


class Prefills(EchoEngine):
    """Keeps what it is told to."""

    def __init__(self, handover: Handover | None) -> None:
        super().__init__(EchoOptions())
        self.handover = handover
        self.let_gone: list[Handover] = []

    async def generate(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        assert request.prefill_only
        assert request.token_ids
        yield Delta(finish_reason="length", handover=self.handover)

    async def let_go(self, handover: Handover) -> None:
        self.let_gone.append(handover)


async def test_who_prefills_has_to_hand_over_and_keeps_nothing_of_the_test() -> None:
    engine = Prefills(Handover("toy", {"id": 7}))
    await hand_one_over(engine, "m")
    assert engine.let_gone == [engine.handover]
    with pytest.raises(EngineFailed, match="hands nothing over"):
        await hand_one_over(Prefills(None), "m")

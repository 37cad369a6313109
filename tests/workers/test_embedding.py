"""An engine of vectors behind the same door as those that generate."""

from __future__ import annotations

import struct
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import Cancelled, EngineFailed, InvalidRequest
from dynamo_cli.protocol.engine import Embedding, EngineRequest
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.admission import admit
from dynamo_cli.workers.embedding import answering, packed
from dynamo_cli.workers.engine import EngineInfo
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.mock.engine import MockEngine
from dynamo_cli.workers.engines.mock.spec import MockOptions

SIZE, CONTEXT = 5, 32
OPTIONS = MockOptions(speedup_ratio=0, embedding_size=SIZE, max_model_len=CONTEXT, num_gpu_blocks=8, block_size=16)


def asked(ids: list[int], dimensions: int | None = None) -> EngineRequest:
    return EngineRequest("m", ids, embedding=Embedding(dimensions))


async def test_the_mock_engine_makes_vectors_of_tokens_alone() -> None:
    engine = MockEngine(OPTIONS, EngineLaunch(model_name="m"))
    info = await engine.start()
    ask = answering(engine, info)
    try:
        full = list(range(1, CONTEXT + 1))
        for request in (asked(full), asked(full, 2), asked([7])):
            (delta,) = [one async for one in ask(admit(request, info), Context())]
            assert delta.finish_reason == "stop" and delta.usage is not None
            assert delta.usage.prompt_tokens == len(request.token_ids)
            assert array("f", delta.vector).tolist() == pytest.approx(await engine.embed(request, Context()))
        whole, short = await engine.embed(asked(full), Context()), await engine.embed(asked(full, 2), Context())
        assert (len(whole), len(short)) == (SIZE, 2)
        assert short[0] / short[1] == pytest.approx(whole[0] / whole[1])
        assert whole != await engine.embed(asked(full[:-1]), Context())
        with pytest.raises(InvalidRequest, match="5 numbers at most"):
            await engine.embed(asked([1], 6), Context())
        stopped = Context()
        stopped.stop()
        (gone,) = [one async for one in ask(asked([1]), stopped)]
        assert (gone.finish_reason, gone.vector) == ("cancelled", b"")
    finally:
        await engine.stop()


@pytest.mark.parametrize(
    ("request_", "size", "why"),
    [
        (EngineRequest("m", [1]), SIZE, "generates nothing"),
        (asked([1]), 0, "makes no embeddings"),
        (asked([1] * (CONTEXT + 1)), SIZE, "does not fit the context"),
        (asked([]), SIZE, "no tokens"),
    ],
)
def test_what_it_does_not_make_is_refused(request_: EngineRequest, size: int, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        admit(request_, EngineInfo(embedding_size=size, context_length=CONTEXT))


async def test_a_vector_of_another_length_is_the_engines_fault() -> None:
    class Wrong(MockEngine):
        async def embed(self, request: EngineRequest, context: Context) -> list[float]:
            if context.stopped:
                raise Cancelled("gone")
            return [1.0]

    ask: Any = answering(Wrong(OPTIONS, EngineLaunch(model_name="m")), EngineInfo(embedding_size=SIZE))
    with pytest.raises(EngineFailed, match="a vector of 1 numbers, not 5"):
        [one async for one in ask(asked([1]), Context())]


@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_vectors_are_packed_as_they_are(vector: list[float]) -> None:
    assert struct.unpack(f"<{len(vector)}f", packed(vector)) == tuple(vector)

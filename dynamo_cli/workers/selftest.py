"""A worker is ready when its engine has generated a token for it, or made a vector."""

from __future__ import annotations

from dynamo_cli.errors import EngineFailed
from dynamo_cli.protocol.engine import Embedding, EngineRequest, SamplingOptions, StopConditions
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Engine, EngineInfo

_ANY_TOKEN = 1


async def generate_one_token(engine: Engine, info: EngineInfo, model: str) -> None:
    """Raises EngineFailed when nothing comes."""
    request = EngineRequest(
        model,
        sampling=SamplingOptions(temperature=0.0),
        stop=StopConditions(max_tokens=1, ignore_eos=True),
    )
    if info.input == "text":
        request.messages = [{"role": "user", "content": "ready"}]
    else:
        request.token_ids = [_ANY_TOKEN]
    if info.embedding_size:
        request.embedding = Embedding()
        if len(await engine.embed(request, Context("self-test"))) != info.embedding_size:
            raise EngineFailed("the engine started, but its vectors are not of the size it says")
        return
    got_something = False
    async for delta in engine.generate(request, Context("self-test")):
        got_something |= bool(delta.token_ids or delta.text)
    if not got_something:
        raise EngineFailed("the engine started, but generated nothing in its self-test")

"""A worker is ready when its engine has generated a token, or made a vector; and handed over what it prefills."""

from __future__ import annotations

from dynamo_cli.errors import EngineFailed
from dynamo_cli.protocol.engine import Embedding, EngineRequest, SamplingOptions, StopConditions
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Engine, EngineInfo

_ANY_TOKEN = 1
_PROMPT = 8
"""Tokens of a prompt that is handed over."""


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


async def hand_one_over(engine: Engine, model: str) -> None:
    """Of an engine that prefills for others. Raises EngineFailed when it keeps nothing for them."""
    stop = StopConditions(max_tokens=1, ignore_eos=True)
    request = EngineRequest(model, [_ANY_TOKEN] * _PROMPT, stop=stop, prefill_only=True)
    kept = [delta.handover async for delta in engine.generate(request, Context("self-test")) if delta.handover]
    if not kept:
        raise EngineFailed("the engine started, but hands nothing over to workers that decode")
    await engine.let_go(kept[-1])

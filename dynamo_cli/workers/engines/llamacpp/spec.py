"""llama.cpp, in the prebuilt xllamacpp wheel: the engine of machines without a GPU."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from dynamo_cli.workers.engines.base import EngineLaunch, EngineOptions, EngineSpec, MemoryQuestion

if TYPE_CHECKING:
    from dynamo_cli.estimate.result import MemoryEstimate
    from dynamo_cli.workers.engine import Engine


class LlamaCppOptions(EngineOptions, frozen=True, kw_only=True):
    """`parallel`: sequences decoded together. `threads`: default DYN_LLAMACPP_THREADS, else all cores but one.

    `max_model_len`: tokens of context of each sequence; 0 is the model's own, at most 8192.
    `transfer`: how KV gets from prefill to decode workers; both need the same.
    """

    parallel: Annotated[int, Meta(ge=1)] = 4
    threads: Annotated[int, Meta(ge=1)] | None = None
    max_model_len: Annotated[int, Meta(ge=0)] = 0
    transfer: Literal["tcp", "nixl"] = "tcp"


class LlamaCppSpec(EngineSpec):
    name = "llamacpp"
    summary = "llama.cpp on the CPU; GGUF models"
    modules = ("xllamacpp",)
    formats = ("gguf",)
    options_type = LlamaCppOptions
    takes_text = True
    disaggregation = "prefill_first"

    def available(self) -> str | None:
        if importlib.util.find_spec("xllamacpp") is None:
            return "engine llamacpp is not installed; run `pip install 'dynamo-cli[cpu]'`"
        return None

    def memory(self, asked: MemoryQuestion) -> MemoryEstimate:
        from dynamo_cli.estimate.llamacpp import llamacpp_memory
        from dynamo_cli.workers.engines.llamacpp.sizing import sizing

        return llamacpp_memory(asked.shape, sizing(asked))

    def create(self, launch: EngineLaunch) -> Engine:
        from dynamo_cli.workers.engines.llamacpp.engine import LlamaCppEngine
        from dynamo_cli.workers.engines.llamacpp.settings import settings

        return LlamaCppEngine(launch, settings(launch))

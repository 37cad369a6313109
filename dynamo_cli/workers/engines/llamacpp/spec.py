"""llama.cpp, in the prebuilt xllamacpp wheel: the engine of machines without a GPU."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from dynamo_cli.workers.engines.base import EngineLaunch, EngineOptions, EngineSpec

if TYPE_CHECKING:
    from dynamo_cli.workers.engine import Engine


class LlamaCppOptions(EngineOptions, frozen=True, kw_only=True):
    """`parallel`: sequences decoded together. `threads`: default DYN_LLAMACPP_THREADS, else all cores but one.

    `max_model_len`: tokens of context of each sequence; 0 is the model's own, at most 8192.
    """

    parallel: Annotated[int, Meta(ge=1)] = 4
    threads: Annotated[int, Meta(ge=1)] | None = None
    max_model_len: Annotated[int, Meta(ge=0)] = 0


class LlamaCppSpec(EngineSpec):
    name = "llamacpp"
    summary = "llama.cpp on the CPU; GGUF models"
    modules = ("xllamacpp",)
    formats = ("gguf",)
    options_type = LlamaCppOptions
    takes_text = True

    def available(self) -> str | None:
        if importlib.util.find_spec("xllamacpp") is None:
            return "engine llamacpp is not installed; run `pip install 'dynamo-cli[cpu]'`"
        return None

    def create(self, launch: EngineLaunch) -> Engine:
        from dynamo_cli.workers.engines.llamacpp.engine import LlamaCppEngine
        from dynamo_cli.workers.engines.llamacpp.settings import settings

        return LlamaCppEngine(launch, settings(launch))

"""What llama.cpp's memory depends on, of the settings that it would be started with."""

from __future__ import annotations

from typing import Any

from dynamo_cli.estimate.result import Settings as Sizes
from dynamo_cli.estimate.shape import ShapeUnknown
from dynamo_cli.workers.engines.arguments import convert_options
from dynamo_cli.workers.engines.base import EngineLaunch, MemoryQuestion
from dynamo_cli.workers.engines.llamacpp.settings import settings
from dynamo_cli.workers.engines.llamacpp.spec import LlamaCppOptions

BYTES = {"F32": 4.0, "F16": 2.0, "BF16": 2.0, "Q8_0": 34 / 32, "Q5_1": 24 / 32, "Q5_0": 22 / 32, "Q4_1": 20 / 32,
         "Q4_0": 18 / 32, "IQ4_NL": 18 / 32}  # fmt: skip
"""Of a number in the KV cache, by ggml's type."""
STEP = 512
"""llama.cpp's own n_ubatch."""


def sizing(asked: MemoryQuestion) -> Sizes:
    """Raises UsageError for settings llama.cpp cannot be given, ShapeUnknown for those that are not estimated."""
    options = convert_options(dict(asked.options), LlamaCppOptions, "llamacpp")
    chosen = settings(
        EngineLaunch(model_name="it", args=asked.args, options=options, context_length=asked.shape.context)
    )
    unified = bool(chosen.get("kv_unified"))
    sequences = int(chosen["n_parallel"])
    context = int(chosen["n_ctx"]) or asked.shape.context
    return Sizes(
        context=context if unified else context // sequences,
        sequences=sequences,
        batch=int(chosen.get("n_ubatch") or STEP),
        k_bytes=_size(chosen, "cache_type_k"),
        v_bytes=_size(chosen, "cache_type_v"),
        cache=max(0, int(chosen["cache_ram_mib"])) << 20,
        unified=unified,
        full_windows=bool(chosen.get("swa_full")),
    )


def _size(chosen: dict[str, Any], field: str) -> float:
    name = str(chosen.get(field, "F16")).rpartition("GGML_TYPE_")[2]
    if name not in BYTES:
        raise ShapeUnknown(f"{field} {name} is not known")
    return BYTES[name]

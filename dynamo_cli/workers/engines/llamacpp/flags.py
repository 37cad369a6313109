"""llama.cpp's own command line flags -> fields of its parameters. The wheel has no parser for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dynamo_cli.errors import UsageError
from dynamo_cli.workers.engines.arguments import nearest, split_flags

Settings = dict[str, Any]
"""Field of CommonParams (dotted for nested ones) -> value; "enum:TYPE.MEMBER" names a member of an xllamacpp enum."""

_INTEGERS = {
    "-c --ctx-size": "n_ctx",
    "-np --parallel": "n_parallel",
    "-t --threads": "cpuparams.n_threads",
    "-tb --threads-batch": "cpuparams_batch.n_threads",
    "-b --batch-size": "n_batch",
    "-ub --ubatch-size": "n_ubatch",
    "-ngl --gpu-layers --n-gpu-layers": "n_gpu_layers",
    "-mg --main-gpu": "main_gpu",
    "-cram --cache-ram": "cache_ram_mib",
    "--cache-reuse": "n_cache_reuse",
    "--keep": "n_keep",
    "--yarn-orig-ctx": "yarn_orig_ctx",
    "--threads-http": "n_threads_http",
    "-lv --verbosity --log-verbosity": "verbosity",
}
_LEAST = {"max_model_len": 0, "n_ctx": 0, "n_parallel": 1, "n_batch": 1, "n_ubatch": 1}
"""llama.cpp would take what is less as a huge number, or divide by it."""
_FLOATS = {
    "--rope-freq-base": "rope_freq_base",
    "--rope-freq-scale": "rope_freq_scale",
    "--yarn-ext-factor": "yarn_ext_factor",
    "--yarn-attn-factor": "yarn_attn_factor",
    "--yarn-beta-slow": "yarn_beta_slow",
    "--yarn-beta-fast": "yarn_beta_fast",
    "-sps --slot-prompt-similarity": "slot_prompt_similarity",
}
_STRINGS = {"--chat-template": "chat_template"}
_ENUMS = {
    "-ctk --cache-type-k": ("cache_type_k", "ggml_type.GGML_TYPE_"),
    "-ctv --cache-type-v": ("cache_type_v", "ggml_type.GGML_TYPE_"),
    "-sm --split-mode": ("split_mode", "llama_split_mode.LLAMA_SPLIT_MODE_"),
    "--rope-scaling": ("rope_scaling_type", "llama_rope_scaling_type.LLAMA_ROPE_SCALING_TYPE_"),
    "--numa": ("numa", "ggml_numa_strategy.GGML_NUMA_STRATEGY_"),
}
_CHOICES = {
    "-fa --flash-attn": (
        "flash_attn_type",
        {
            word: f"enum:llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_{member}"
            for word, member in (("on", "ENABLED"), ("off", "DISABLED"), ("auto", "AUTO"))
        },
    ),
}
_SWITCHES: dict[str, tuple[str, Any]] = {
    "-kvu --kv-unified": ("kv_unified", True),
    "-no-kvu --no-kv-unified": ("kv_unified", False),
    "-cb --cont-batching": ("cont_batching", True),
    "-nocb --no-cont-batching": ("cont_batching", False),
    "-nkvo --no-kv-offload": ("no_kv_offload", True),
    "--warmup": ("warmup", True),
    "--no-warmup": ("warmup", False),
    "--swa-full": ("swa_full", True),
    "--mmap": ("load_mode", "enum:llama_load_mode.LLAMA_LOAD_MODE_MMAP"),
    "--no-mmap": ("load_mode", "enum:llama_load_mode.LLAMA_LOAD_MODE_NONE"),
    "--mlock": ("load_mode", "enum:llama_load_mode.LLAMA_LOAD_MODE_MMAP_MLOCK"),
    "--check-tensors": ("check_tensors", True),
    "--jinja": ("use_jinja", True),
}


def parse_flags(args: Sequence[str]) -> Settings:
    """Settings from flags in llama.cpp's spelling, and `--max-model-len N` (tokens of each sequence).

    Raises UsageError for a flag that is unknown here or a value that does not fit it.
    """
    settings: Settings = {}
    for flag, value in split_flags(args):
        field, kind = _lookup(flag)
        settings[field] = found = _value(flag, value, kind)
        if field in _LEAST and found < _LEAST[field]:
            raise UsageError(f"engine llamacpp: {flag} needs a number of at least {_LEAST[field]}, not {value}")
    return settings


def _table() -> dict[str, tuple[str, Any]]:
    table: dict[str, tuple[str, Any]] = {"--max-model-len": ("max_model_len", int)}
    for kind, flags in ((int, _INTEGERS), (float, _FLOATS), (str, _STRINGS)):
        for spelled, field in flags.items():
            table |= {flag: (field, kind) for flag in spelled.split()}
    for spelled, (field, prefix) in _ENUMS.items():
        table |= {flag: (field, prefix) for flag in spelled.split()}
    for spelled, (field, words) in _CHOICES.items():
        table |= {flag: (field, words) for flag in spelled.split()}
    for spelled, (field, constant) in _SWITCHES.items():
        table |= {flag: (field, (constant,)) for flag in spelled.split()}
    return table


_TABLE = _table()


def _lookup(flag: str) -> tuple[str, Any]:
    found = _TABLE.get(flag)
    if found is None:
        raise UsageError(f"engine llamacpp does not know the argument {flag}{nearest(flag, list(_TABLE))}")
    return found


def _value(flag: str, value: str | None, kind: Any) -> Any:
    if isinstance(kind, tuple):
        if value is not None:
            raise UsageError(f"engine llamacpp: {flag} takes no value, not {value!r}")
        return kind[0]
    if value is None:
        raise UsageError(f"engine llamacpp: {flag} needs a value")
    if isinstance(kind, dict):
        if value not in kind:
            raise UsageError(f"engine llamacpp: {flag} {value}: use {', '.join(kind)}")
        return kind[value]
    if isinstance(kind, str):
        return f"enum:{kind}{value.upper()}"
    try:
        return kind(value)
    except ValueError:
        raise UsageError(f"engine llamacpp: {flag} needs a number, not {value!r}") from None

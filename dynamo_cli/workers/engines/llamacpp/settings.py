"""What llama.cpp is started with: our defaults, the options, and the native arguments over them."""

from __future__ import annotations

import os

from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.logs import log_settings
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.llamacpp.flags import Settings, parse_flags
from dynamo_cli.workers.engines.llamacpp.spec import LlamaCppOptions

DEFAULT_CONTEXT_LENGTH = 8192
"""Context of a sequence when nobody asks: models trained for 128k would take gigabytes of KV cache."""
CPU_BATCH_PER_THREAD = 16
MOST_CPU_BATCH = 512
"""Prompt tokens of one step on a CPU. A step cannot be interrupted, so this bounds how long a cancelled prompt and
the other streams wait; on one thread 64 are no faster than 16."""
CACHE_RAM_MIB = 512
"""Memory for the prompt cache beyond the slots; llama.cpp's own default is 8 GiB."""


def settings(launch: EngineLaunch) -> Settings:
    """Raises UsageError for an argument llama.cpp cannot be given."""
    options = launch.options or LlamaCppOptions()
    native = parse_flags(launch.args)
    max_model_len = native.pop("max_model_len", options.max_model_len)
    threads = options.threads or _threads()
    chosen: Settings = {
        "n_parallel": options.parallel,
        "cpuparams.n_threads": threads,
        "cache_ram_mib": CACHE_RAM_MIB,
        "verbosity": 4 if log_settings(os.environ).level in ("debug", "trace") else 1,
        "ui": False,
    }
    chosen |= native
    chosen.setdefault("cpuparams_batch.n_threads", chosen["cpuparams.n_threads"])
    if not native.get("n_gpu_layers"):
        chosen.setdefault("n_batch", _cpu_batch(chosen))
    if "n_batch" in chosen:
        chosen.setdefault("n_ubatch", min(512, chosen["n_batch"]))
    if "n_ctx" not in native:
        chosen["n_ctx"] = _context(launch, max_model_len, "rope_scaling_type" in native) * _sharers(chosen)
    return chosen


def _cpu_batch(settings: Settings) -> int:
    """A step decodes at least one token of every slot."""
    wanted = CPU_BATCH_PER_THREAD * int(settings["cpuparams_batch.n_threads"])
    return max(min(wanted, MOST_CPU_BATCH), int(settings["n_parallel"]))


def _sharers(settings: Settings) -> int:
    """llama.cpp divides its context among the slots, unless the KV cache is one pool."""
    return 1 if settings.get("kv_unified") else int(settings["n_parallel"])


def _context(launch: EngineLaunch, asked: int, stretched: bool) -> int:
    trained = launch.context_length
    if not asked:
        return min(trained, DEFAULT_CONTEXT_LENGTH) if trained else DEFAULT_CONTEXT_LENGTH
    if trained and asked > trained and not stretched:
        raise UsageError(f"--max-model-len {asked} is more than the {trained} tokens {launch.model_name} was made for")
    return asked


def _threads() -> int:
    text = os.environ.get("DYN_LLAMACPP_THREADS")
    if text:
        if not text.isdigit() or text == "0":
            raise UsageError(f"DYN_LLAMACPP_THREADS is {text!r}, not a number of threads")
        return int(text)
    # OpenMP threads spin: with one on every core of a busy machine decoding is ten times slower.
    return max(1, _cores() - 1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

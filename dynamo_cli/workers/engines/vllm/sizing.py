"""What vLLM's memory depends on, of its native arguments: read here, because vLLM itself need not be installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from dynamo_cli.errors import UsageError
from dynamo_cli.estimate.result import Settings
from dynamo_cli.estimate.shape import ShapeUnknown
from dynamo_cli.workers.engines.base import MemoryQuestion

CPU_CACHE_BYTES = 2 << 30
"""KV cache of an engine on the CPU when nobody says; vLLM would take nine tenths of the memory."""
COUNTS = {
    "--max-model-len": "context",
    "--max-num-seqs": "sequences",
    "--max-num-batched-tokens": "batch",
    "--block-size": "block",
    "--kv-cache-memory-bytes": "cache",
    "--tensor-parallel-size": "ranks",
    "-tp": "ranks",
}
OTHERWISE = (
    "--quantization", "-q", "--cpu-offload-gb", "--num-gpu-blocks-override", "--pipeline-parallel-size", "-pp",
    "--data-parallel-size", "-dp", "--speculative-config", "--hf-overrides", "--load-format", "--config",
)  # fmt: skip
"""These change the memory in ways that are not estimated."""
NUMBER_BYTES = {"auto": 2, "half": 2, "float16": 2, "bfloat16": 2, "float": 4, "float32": 4}
UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def sizing(asked: MemoryQuestion) -> Settings:
    """Raises ShapeUnknown where an argument changes the memory in a way that is not estimated, UsageError for a value
    that is none."""
    found: dict[str, Any] = {"device": asked.device, "ranks": asked.tensor_parallel}
    for flag, value in _flags(asked.args):
        if flag in OTHERWISE:
            raise ShapeUnknown(f"{flag} changes it in a way that is not estimated")
        if flag in COUNTS:
            found[COUNTS[flag]] = _count(flag, value)
        elif flag == "--gpu-memory-utilization":
            found["share"] = _share(flag, value)
        elif flag == "--dtype":
            found["number_bytes"] = NUMBER_BYTES.get(value, 2)
        elif flag == "--kv-cache-dtype":
            found["k_bytes"] = _kv_bytes(value)
        elif flag == "--enforce-eager":
            found["graphs"] = False
        elif flag == "--disable-hybrid-kv-cache-manager":
            found["full_windows"] = True
    return _on_cpu(found) if not asked.device else msgspec.convert(found, Settings)


def _on_cpu(found: dict[str, Any]) -> Settings:
    if "share" in found:
        raise ShapeUnknown("--gpu-memory-utilization makes the KV cache a share of this machine's memory")
    return msgspec.convert({"cache": CPU_CACHE_BYTES, **found}, Settings)


def _flags(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each flag in vLLM's spelling with what stands behind it."""
    for at, word in enumerate(args):
        if word.startswith("-"):
            flag, equals, value = word.partition("=")
            behind = args[at + 1] if at + 1 < len(args) else ""
            yield flag.replace("_", "-"), value if equals else behind


def _count(flag: str, text: str) -> int:
    """A number as vLLM reads it: 32k is 32000, 32K is 32768; --max-model-len auto is the model's own."""
    if flag == "--max-model-len" and text in ("auto", "-1"):
        return 0
    unit = UNITS.get(text[-1:], 0)
    try:
        number = int(float(text[:-1]) * unit) if unit else int(text)
    except (ValueError, OverflowError):
        raise UsageError(f"engine vllm: {flag} needs a number, not {text!r}") from None
    least = 1 if COUNTS[flag] == "ranks" else 0
    if number < least:
        raise UsageError(f"engine vllm: {flag} needs a number of at least {least}, not {text}")
    return number


def _share(flag: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"engine vllm: {flag} needs a number above 0, at most 1, not {text!r}")
    return share


def _kv_bytes(text: str) -> float:
    if text.startswith("fp8"):
        return 1.0
    if text not in NUMBER_BYTES:
        raise ShapeUnknown(f"--kv-cache-dtype {text} is not estimated")
    return 0.0 if text == "auto" else float(NUMBER_BYTES[text])

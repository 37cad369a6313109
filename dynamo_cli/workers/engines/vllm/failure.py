"""What vLLM says of its failures, as one line with the flag that helps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dynamo_cli.errors import DynamoError, EngineFailed, ResourceMissing, UsageError
from dynamo_cli.workers.engines.vllm.wire import Failure

_CONSEQUENCES = (
    "Engine core initialization failed",
    "WorkerProc initialization failed",
    "EngineCore encountered an issue",
    "cancelled",
)
"""Texts of exceptions that only say that another process has failed."""
_MEMORY = re.compile(
    r"larger than the available KV cache|No available memory for the cache blocks|Cannot auto-fit max_model_len|"
    r"[Oo]ut of memory|OutOfMemory|not enough memory|[Cc]an.?t allocate memory|[Cc]annot allocate memory"
)
_RESERVED = re.compile(r"is less than desired \w+ memory utilization|is less than requested memory for kv")
"""It is told to take more than is free, whatever the model needs."""
_LONGEST = re.compile(r"estimated maximum model length is (\d+)")
_MOST = 400


def start_failure(model: str, error: BaseException, failures: Sequence[Failure], *, on_cpu: bool) -> DynamoError:
    """`failures`: what vLLM's processes said, in order; the first that is no consequence of another is the cause."""
    kind, text = cause(error, failures)
    if _RESERVED.search(text):
        smaller = "--kv-cache-memory-bytes" if on_cpu else "--gpu-memory-utilization"
        return ResourceMissing(f"vLLM may not reserve so much: {first_sentence(text)}; give a smaller {smaller}")
    if _MEMORY.search(f"{kind} {text}"):
        return ResourceMissing(f"vLLM has no memory for {model}: {first_sentence(text)}; {_memory_help(text, on_cpu)}")
    if isinstance(error, DynamoError):
        return error
    return EngineFailed(f"vLLM cannot load {model}: {first_sentence(text)} ({kind}); its own lines above say more")


def death(failures: Sequence[Failure], code: str) -> str:
    """Why a running engine is gone; `code`: how its process ended, in words."""
    named = _causes(failures)
    return f"vLLM {code}: {first_sentence(named[0].text)} ({named[0].kind})" if named else f"vLLM {code}"


def cause(error: BaseException, failures: Sequence[Failure]) -> tuple[str, str]:
    """(type, text) of the exception everything else follows from."""
    named = _causes(failures)
    return (named[0].kind, named[0].text) if named else (type(error).__name__, str(error))


def argument_failure(error: Exception) -> UsageError:
    """Of vLLM's checks of its configuration, whose lines are many."""
    return UsageError(f"engine vllm: {one_line(validation_text(error))}")


def validation_text(error: Exception) -> str:
    """Of a pydantic error: what is wrong with the first field, without the decoration."""
    errors: Any = getattr(error, "errors", None)
    if callable(errors):
        found = errors()
        if found:
            where = ".".join(str(part) for part in found[0].get("loc", ()))
            text = str(found[0].get("msg", error)).removeprefix("Value error, ").removeprefix("Assertion failed, ")
            return f"{where}: {text}" if where else text
    return str(error)


def one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST else line[: _MOST - 1] + "…"


def first_sentence(text: str) -> str:
    """Of a text that goes on with advice and links."""
    line = one_line(text)
    return re.split(r"(?<=[.)])\s+(?=[A-Z])", line, maxsplit=1)[0].rstrip(".") or "no reason was given"


def _causes(failures: Sequence[Failure]) -> list[Failure]:
    return [one for one in failures if not any(text in one.text for text in _CONSEQUENCES) and one.text]


def _memory_help(text: str, on_cpu: bool) -> str:
    longest = _LONGEST.search(text)
    shorter = f"--max-model-len {longest[1]}" if longest and longest[1] != "0" else "a smaller --max-model-len"
    more = "a larger --kv-cache-memory-bytes" if on_cpu else "a larger --gpu-memory-utilization, or more GPUs"
    return f"give {shorter}, or {more}"

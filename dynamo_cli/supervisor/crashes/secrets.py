"""What of an environment may be written down, and covering what may not wherever it appears. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec

from dynamo_cli.runtime.redact import COVER, redact, redact_environment

TELLING = re.compile(
    r"(?:DYN|DYNAMO|VLLM|SGLANG|SGL|TRTLLM|TLLM|TRT|LLAMA|GGML|CUDA|NVIDIA|NCCL|NIXL|UCX|TORCH|PYTORCH|TRITON|OMP|MKL"
    r"|PYTHON\w*|GLOO|HF|HUGGINGFACE|TRANSFORMERS|TOKENIZERS|XDG|LD|MALLOC)(?:_|$)|(?:PATH|HOME|TMPDIR|LANG|USER|PWD)$"
)
"""Variables that say how an engine runs. Of any other one only the name is kept: its value may be anything."""
SHORTEST = 6
"""A shorter value is no secret, and covering it would make holes in words."""


class Shown(NamedTuple):
    """`secrets`: the values of the variables that are named like secrets or hold one."""

    variables: dict[str, str]
    other_names: tuple[str, ...]
    secrets: frozenset[str]


def shown(environ: Mapping[str, str]) -> Shown:
    redacted = redact_environment(environ)
    telling = {name: value for name, value in sorted(redacted.items()) if TELLING.match(name)}
    covered = frozenset(value for name, value in environ.items() if redacted[name] != value and len(value) >= SHORTEST)
    return Shown(telling, tuple(sorted(set(environ) - set(telling))), covered)


def covered(text: str, secrets: Collection[str]) -> str:
    """`text` without what looks like a secret, and without these."""
    return redact(without(text, secrets))


def without(text: str, secrets: Collection[str]) -> str:
    """`text`, or JSON, with these covered."""
    spellings = {*secrets, *(msgspec.json.encode(secret).decode()[1:-1] for secret in secrets)}
    for secret in sorted(spellings, key=len, reverse=True):
        text = text.replace(secret, COVER)
    return text

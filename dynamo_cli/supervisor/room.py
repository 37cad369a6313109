"""Whether the next process of a replica can run beside the one it is to replace, or another replica beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dynamo_cli.supervisor.words import gibibytes
from dynamo_cli.topology.process import ProcessSpec
from dynamo_cli.topology.system_port import SYSTEM_PORT, fixed_port

SPARE = 1.1
"""A process that loads needs somewhat more than one that has loaded."""


def system_port(spec: ProcessSpec, environ: Mapping[str, str] = os.environ) -> int:
    """The port that every process of its pool would listen on, 0 for none. Workers inherit it from the supervisor."""
    return fixed_port(spec.env, environ if spec.kind == "worker" else {})


def no_room(spec: ProcessSpec, held: int, available: int, environ: Mapping[str, str] = os.environ) -> str:
    """Why it cannot, in words; "" when it can. Bytes: what the running one holds, what this machine has to give."""
    if spec.gpus:
        return f"it needs GPU {', '.join(str(gpu.index) for gpu in spec.gpus)} for itself"
    if port := system_port(spec, environ):
        return f"both would need port {port} ({SYSTEM_PORT})"
    if held * SPARE > available:
        return f"it holds {gibibytes(held)} of memory and there are {gibibytes(available)} for another one"
    return ""

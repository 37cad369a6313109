"""Whether the next process of a replica can run beside the one it is to replace. Pure."""

from __future__ import annotations

from dynamo_cli.supervisor.words import gibibytes
from dynamo_cli.topology.process import ProcessSpec

SPARE = 1.1
"""A process that loads needs somewhat more than one that has loaded."""
SYSTEM_PORT = "DYN_SYSTEM_PORT"


def no_room(spec: ProcessSpec, held: int, available: int) -> str:
    """Why it cannot, in words; "" when it can. Bytes: what the running one holds, what this machine has to give."""
    if spec.gpus:
        return f"it needs GPU {', '.join(str(gpu.index) for gpu in spec.gpus)} for itself"
    port = spec.env.get(SYSTEM_PORT, "")
    if port.isdecimal() and int(port):
        return f"both would need port {port} ({SYSTEM_PORT})"
    if held * SPARE > available:
        return f"it holds {gibibytes(held)} of memory and there are {gibibytes(available)} for another one"
    return ""

"""Says how busy some GPUs are, each time it is asked: a line of JSON with UUIDs in, a line with their measures out.

A process of its own (see asking.py) that keeps the library open: to open it takes longer than to ask.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, BinaryIO

import msgspec

from dynamo_cli.gpus.nvml import NoDriver, attempt, query_driver, text
from dynamo_cli.protocol.measures import GpuMeasures


def measure(pynvml: Any, uuids: Sequence[str]) -> list[GpuMeasures]:
    """Without those that the driver does not know (any more). A MIG slice has the temperature of its GPU."""
    return [found for uuid in uuids if (found := _measure(pynvml, uuid)) is not None]


def _measure(pynvml: Any, uuid: str) -> GpuMeasures | None:
    def told(call: Callable[[], Any], default: Any = None) -> Any:
        return attempt(pynvml, call, default)

    handle = told(partial(pynvml.nvmlDeviceGetHandleByUUID, uuid.encode()))
    memory = told(partial(pynvml.nvmlDeviceGetMemoryInfo, handle)) if handle else None
    if memory is None:
        return None
    is_slice = uuid.startswith("MIG-")
    board = told(partial(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, handle)) if is_slice else handle
    rates = None if is_slice else told(partial(pynvml.nvmlDeviceGetUtilizationRates, handle))
    power = None if is_slice else told(partial(pynvml.nvmlDeviceGetPowerUsage, handle))
    degrees = told(partial(pynvml.nvmlDeviceGetTemperature, board, pynvml.NVML_TEMPERATURE_GPU)) if board else None
    return GpuMeasures(
        index=told(partial(pynvml.nvmlDeviceGetIndex, board), -1) if board else -1,
        name=text(told(partial(pynvml.nvmlDeviceGetName, board), "")) if board else "",
        uuid=uuid,
        memory_used=int(memory.used),
        memory_total=int(memory.total),
        utilization=None if rates is None else rates.gpu / 100,
        temperature_c=degrees,
        power_w=None if power is None else power / 1000,
    )


def answer(questions: BinaryIO, answers: BinaryIO, pynvml: Any) -> None:
    """Until nobody asks any more."""
    for line in questions:
        uuids = msgspec.json.decode(line, type=list[str])
        answers.write(msgspec.json.encode(measure(pynvml, uuids)) + b"\n")
        answers.flush()


if __name__ == "__main__":
    ended = query_driver(partial(answer, sys.stdin.buffer, sys.stdout.buffer))
    if isinstance(ended, NoDriver):
        sys.exit(ended.reason)

"""Asks NVIDIA's management library for the GPUs of this machine, of which none may be there.

Every call may fail by itself: an old driver lacks the function, or a board does not support it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec

from dynamo_cli.gpus.gpu import ComputeMode, Gpu, Holder
from dynamo_cli.gpus.nvml_peers import read_peers
from dynamo_cli.gpus.system import numa_node, process_name

T = TypeVar("T")


class NoDriver(NamedTuple):
    """Why the driver cannot be asked; `broken` when there is one that should answer."""

    reason: str
    broken: bool = False


class Board(NamedTuple):
    """A GPU with the library's handle, and the MIG instances it is split into."""

    handle: Any
    gpu: Gpu
    instances: tuple[Gpu, ...] = ()


def query_driver(question: Callable[[Any], T]) -> T | NoDriver:
    """What `question` makes of the loaded library; it may raise the library's own errors."""
    try:
        import pynvml
    except ImportError:
        return NoDriver("the package nvidia-ml-py is not installed", broken=True)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return _no_driver(pynvml, error)
    try:
        return question(pynvml)
    except pynvml.NVMLError as error:
        return NoDriver(f"the NVIDIA driver failed: {error}", broken=True)
    finally:
        attempt(pynvml, pynvml.nvmlShutdown, None)


def _no_driver(pynvml: Any, error: Exception) -> NoDriver:
    if isinstance(error, pynvml.NVMLError_LibraryNotFound):
        return NoDriver("no NVIDIA driver")
    return NoDriver(f"the NVIDIA driver does not answer: {error}", broken=True)


def read_boards(pynvml: Any) -> list[Board]:
    """Without those that have fallen off the bus or cannot be named: they could not be given to anyone."""
    found = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = attempt(pynvml, partial(pynvml.nvmlDeviceGetHandleByIndex, index), None)
        gpu = _read_gpu(pynvml, index, handle) if handle else None
        if gpu is not None:
            found.append(Board(handle, gpu))
    return _with_instances(pynvml, _with_peers(pynvml, found))


def _read_gpu(pynvml: Any, index: int, handle: Any) -> Gpu | None:
    uuid = text(attempt(pynvml, lambda: pynvml.nvmlDeviceGetUUID(handle), ""))
    if not uuid:
        return None
    memory = attempt(pynvml, lambda: pynvml.nvmlDeviceGetMemoryInfo(handle), None)
    bus = text(attempt(pynvml, lambda: pynvml.nvmlDeviceGetPciInfo(handle).busId, ""))
    numa = attempt(pynvml, lambda: pynvml.nvmlDeviceGetNumaNodeId(handle), -1)
    return Gpu(
        index=index,
        uuid=uuid,
        name=text(attempt(pynvml, lambda: pynvml.nvmlDeviceGetName(handle), "")),
        memory_total=int(memory.total) if memory else 0,
        memory_free=int(memory.free) if memory else 0,
        holders=_holders(pynvml, handle),
        bus=bus,
        numa=numa if numa >= 0 else numa_node(bus),
        compute_mode=_compute_mode(attempt(pynvml, lambda: pynvml.nvmlDeviceGetComputeMode(handle), 0)),
        mig=bool(attempt(pynvml, lambda: pynvml.nvmlDeviceGetMigMode(handle), [0])[0]),
    )


def _with_peers(pynvml: Any, boards: Sequence[Board]) -> list[Board]:
    peers = read_peers(pynvml, [(board.handle, board.gpu) for board in boards], partial(attempt, pynvml))
    return [
        board._replace(gpu=msgspec.structs.replace(board.gpu, peers=peers[board.gpu.uuid]) if peers else board.gpu)
        for board in boards
    ]


def _with_instances(pynvml: Any, boards: Sequence[Board]) -> list[Board]:
    return [
        board._replace(instances=tuple(_instances(pynvml, board.handle, board.gpu))) if board.gpu.mig else board
        for board in boards
    ]


def _instances(pynvml: Any, handle: Any, gpu: Gpu) -> list[Gpu]:
    """The MIG instances that are there; numbers may be missing between them."""
    found = []
    for number in range(attempt(pynvml, lambda: pynvml.nvmlDeviceGetMaxMigDeviceCount(handle), 0)):
        part = attempt(pynvml, partial(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number), None)
        instance = _read_gpu(pynvml, gpu.index, part) if part else None
        if instance is not None:
            profile = _profile(pynvml, part, instance)
            found.append(
                msgspec.structs.replace(instance, profile=profile, mig=False, name=gpu.name, numa=gpu.numa, bus=gpu.bus)
            )
    return found


def _profile(pynvml: Any, handle: Any, instance: Gpu) -> str:
    """As in the names of newer drivers, `NVIDIA H100 80GB HBM3 MIG 3g.40gb`; else made of what it consists of."""
    named = instance.name.rpartition(" MIG ")[2] if " MIG " in instance.name else ""
    if named:
        return named.strip()
    parts = attempt(pynvml, lambda: pynvml.nvmlDeviceGetAttributes(handle), None)
    if parts is None:
        return f"{round(instance.memory_total / 2**30)}gb"
    compute = f"{parts.computeInstanceSliceCount}c."
    size = f"{parts.gpuInstanceSliceCount}g.{round(parts.memorySizeMB / 1024)}gb"
    return size if parts.computeInstanceSliceCount == parts.gpuInstanceSliceCount else compute + size


def _compute_mode(number: int) -> ComputeMode:
    modes: dict[int, ComputeMode] = {1: "exclusive", 2: "prohibited", 3: "exclusive"}
    return modes.get(number, "default")


def _holders(pynvml: Any, handle: Any) -> tuple[Holder, ...]:
    """The greatest first."""
    found = [
        Holder(int(each.pid), int(each.usedGpuMemory or 0), process_name(int(each.pid)))
        for each in _running_processes(pynvml, handle)
    ]
    return tuple(sorted(found, key=lambda holder: (-holder.memory, holder.pid)))


def _running_processes(pynvml: Any, handle: Any) -> list[Any]:
    """By the versioned functions: the plain one raises something that is no NVMLError when the driver is older."""
    for function in (pynvml.nvmlDeviceGetComputeRunningProcesses_v3, pynvml.nvmlDeviceGetComputeRunningProcesses_v2):
        running: list[Any] | None = attempt(pynvml, partial(function, handle), None)
        if running is not None:
            return running
    return []


def attempt(pynvml: Any, call: Callable[[], T], default: T) -> T:
    try:
        return call()
    except pynvml.NVMLError:
        return default


def text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value

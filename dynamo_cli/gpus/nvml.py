"""Asks NVIDIA's management library for the GPUs of this machine, of which none may be there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from dynamo_cli.gpus.gpu import Gpu, GpuInventory
from dynamo_cli.gpus.visible import visible_gpus

T = TypeVar("T")


def read_gpus(environ: Mapping[str, str] = os.environ) -> GpuInventory:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves to this process; an empty list with the reason, never an error."""
    try:
        import pynvml
    except ImportError:
        return GpuInventory(reason="the package nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return GpuInventory(reason=_no_driver(pynvml, error))
    try:
        found = _all_gpus(pynvml)
    except pynvml.NVMLError as error:
        return GpuInventory(reason=f"the NVIDIA driver failed: {error}")
    finally:
        _try(pynvml, pynvml.nvmlShutdown, None)
    return visible_gpus(found, environ.get("CUDA_VISIBLE_DEVICES"))


def _no_driver(pynvml: Any, error: Exception) -> str:
    if isinstance(error, pynvml.NVMLError_LibraryNotFound):
        return "no NVIDIA driver"
    return f"the NVIDIA driver does not answer: {error}"


def _all_gpus(pynvml: Any) -> tuple[Gpu, ...]:
    found = (_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))
    return tuple(gpu for gpu in found if gpu is not None)


def _gpu(pynvml: Any, index: int) -> Gpu | None:
    """None for a GPU that has fallen off the bus or cannot be named: it could not be given to anyone."""
    handle = _try(pynvml, lambda: pynvml.nvmlDeviceGetHandleByIndex(index), None)
    uuid = _try(pynvml, lambda: pynvml.nvmlDeviceGetUUID(handle), "") if handle else ""
    if not uuid:
        return None
    memory = _try(pynvml, lambda: pynvml.nvmlDeviceGetMemoryInfo(handle), None)
    return Gpu(
        index=index,
        uuid=_text(uuid),
        name=_text(_try(pynvml, lambda: pynvml.nvmlDeviceGetName(handle), "")),
        memory_total=int(memory.total) if memory else 0,
        memory_free=int(memory.free) if memory else 0,
        processes=_processes(pynvml, handle),
    )


def _processes(pynvml: Any, handle: Any) -> tuple[int, ...]:
    """By the versioned functions: the plain one raises something that is no NVMLError when the driver is older."""
    for function in (pynvml.nvmlDeviceGetComputeRunningProcesses_v3, pynvml.nvmlDeviceGetComputeRunningProcesses_v2):
        running: list[Any] | None = _try(pynvml, partial(function, handle), None)
        if running is not None:
            return tuple(sorted(int(process.pid) for process in running))
    return ()


def _try(pynvml: Any, call: Callable[[], T], default: T) -> T:
    """Old drivers lack functions and some boards do not support them all."""
    try:
        return call()
    except pynvml.NVMLError:
        return default


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value

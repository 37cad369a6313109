"""Asks NVIDIA's management library for the GPUs of this machine, of which none may be there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from dynamo_cli.gpus.gpu import Gpu, GpuInventory
from dynamo_cli.gpus.visible import visible_gpus

T = TypeVar("T")


class NoDriver(NamedTuple):
    """Why the driver cannot be asked; `broken` when there is one that should answer."""

    reason: str
    broken: bool = False


def read_gpus(environ: Mapping[str, str] = os.environ) -> GpuInventory:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves to this process; an empty list with the reason, never an error."""
    found = ask_driver(_all_gpus)
    if isinstance(found, NoDriver):
        return GpuInventory(reason=found.reason)
    return visible_gpus(found, environ.get("CUDA_VISIBLE_DEVICES"))


def ask_driver(question: Callable[[Any], T]) -> T | NoDriver:
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


def _all_gpus(pynvml: Any) -> tuple[Gpu, ...]:
    return tuple(gpu for _, gpu in gpus_with_handles(pynvml))


def gpus_with_handles(pynvml: Any) -> Iterator[tuple[Any, Gpu]]:
    """Without those that have fallen off the bus or cannot be named: they could not be given to anyone."""
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = attempt(pynvml, partial(pynvml.nvmlDeviceGetHandleByIndex, index), None)
        gpu = _gpu(pynvml, index, handle)
        if gpu is not None:
            yield handle, gpu


def _gpu(pynvml: Any, index: int, handle: Any) -> Gpu | None:
    uuid = attempt(pynvml, lambda: pynvml.nvmlDeviceGetUUID(handle), "") if handle else ""
    if not uuid:
        return None
    memory = attempt(pynvml, lambda: pynvml.nvmlDeviceGetMemoryInfo(handle), None)
    return Gpu(
        index=index,
        uuid=text(uuid),
        name=text(attempt(pynvml, lambda: pynvml.nvmlDeviceGetName(handle), "")),
        memory_total=int(memory.total) if memory else 0,
        memory_free=int(memory.free) if memory else 0,
        processes=tuple(sorted(int(process.pid) for process in running_processes(pynvml, handle))),
    )


def running_processes(pynvml: Any, handle: Any) -> list[Any]:
    """By the versioned functions: the plain one raises something that is no NVMLError when the driver is older."""
    for function in (pynvml.nvmlDeviceGetComputeRunningProcesses_v3, pynvml.nvmlDeviceGetComputeRunningProcesses_v2):
        running: list[Any] | None = attempt(pynvml, partial(function, handle), None)
        if running is not None:
            return running
    return []


def attempt(pynvml: Any, call: Callable[[], T], default: T) -> T:
    """Old drivers lack functions and some boards do not support them all."""
    try:
        return call()
    except pynvml.NVMLError:
        return default


def text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value

"""Asks the driver in a process of its own: one that hangs or crashes takes nobody along."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Mapping, MutableSet

import msgspec

from dynamo_cli.gpus.gpu import GpuInventory
from dynamo_cli.gpus.health import Driver

COMMAND = (sys.executable, "-m", "dynamo_cli.gpus")
PATIENCE_S = 10.0
REAP_S = 1.0


def read_gpus(environ: Mapping[str, str] = os.environ) -> GpuInventory:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves to this process; an empty list with the reason, never an error."""
    return ask_driver().inventory(environ)


def ask_driver(timeout_s: float = PATIENCE_S, pids: MutableSet[int] | None = None) -> Driver:
    """`pids` holds the asking process's while it runs, for who collects the ends of unknown children."""
    if not library_there():
        return Driver(reason="no NVIDIA driver")
    pipe = subprocess.PIPE
    child = subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True)
    pids = set() if pids is None else pids
    pids.add(child.pid)
    try:
        out, err = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=REAP_S)
        return understood(None, b"", "", timeout_s)
    finally:
        pids.discard(child.pid)
    return understood(child.returncode, out, err.decode(errors="replace"), timeout_s)


def library_there() -> bool:
    """Whether there is a driver's library: where there is none, nobody needs to be started to ask it."""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


def understood(code: int | None, out: bytes, err: str, timeout_s: float) -> Driver:
    """What the process told that was asked; `code` None when it did not end in time."""
    if code is None:
        return Driver(reason=f"the NVIDIA driver did not answer within {timeout_s:g} s", broken=True)
    with contextlib.suppress(msgspec.DecodeError):
        if code == 0:
            return msgspec.json.decode(out, type=Driver)
    lines = err.strip().splitlines()
    how = lines[-1] if lines else f"signal {-code}" if code < 0 else f"code {code}"
    return Driver(reason=f"the NVIDIA driver crashed who asked it ({how})", broken=True)

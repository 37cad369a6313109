"""The memory estimate beside what the real llama.cpp reports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dynamo_cli.estimate.llamacpp import PROCESS
from dynamo_cli.estimate.read import read_shape
from dynamo_cli.estimate.result import MemoryEstimate
from dynamo_cli.hub.resolve import resolve_model
from dynamo_cli.workers.engines.arguments import convert_options
from dynamo_cli.workers.engines.base import EngineLaunch, MemoryQuestion
from dynamo_cli.workers.engines.llamacpp.child import ChildConfig
from dynamo_cli.workers.engines.llamacpp.settings import settings
from dynamo_cli.workers.engines.llamacpp.spec import LlamaCppOptions
from dynamo_cli.workers.engines.registry import SPECS
from dynamo_cli.workers.model import PreparedModel
from tests.estimate.gguf_models import Model, write

pytestmark = pytest.mark.skipif(SPECS["llamacpp"].available() is not None, reason="xllamacpp is not installed")
BUFFER = re.compile(r" (model|KV|compute|output) buffer size = +([\d.]+) MiB")
MODELS = {
    "llama, grouped KV heads": (Model("llama"), ()),
    "llama, one sequence, large steps": (Model("llama"), ("--parallel", "1", "-b", "512", "-c", "16384")),
    "llama, a quantised KV cache": (Model("llama"), ("-ctk", "q8_0", "-ctv", "q8_0")),
    "qwen3, heads of their own size, tied": (Model("qwen3", head=128, tied=True, vocabulary=64000), ()),
    "gemma2, every other layer with a window": (
        Model("gemma2", layers=6, tied=True, head=128, heads=8, window=1024),
        ("-b", "512"),
    ),
    "gemma3, five of six layers with a window": (
        Model("gemma3", layers=12, tied=True, head=128, heads=8, window=512),
        (),
    ),
    "deepseek2, latent attention": (Model("deepseek2", layers=6, latent=512, rope=64, head=128, heads=8), ()),
    "llama, a mixture of experts": (Model("llama", layers=2, experts=8, feed_forward=1408), ("-kvu", "-c", "8192")),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_is_within_a_tenth_of_what_llamacpp_reports(tmp_path: Path, name: str) -> None:
    model, args = MODELS[name]
    compare(name, write(tmp_path / "model.gguf", model), args, tmp_path)


def test_the_default_model(default_model: PreparedModel, tmp_path: Path) -> None:
    compare("SmolLM2-135M-Instruct, Q4_1", default_model.path, (), tmp_path)


def compare(name: str, model: Path, args: tuple[str, ...], folder: Path) -> None:
    """Part by part; what is told of beside the KV cache is the buffers of a step and of its logits."""
    shape = read_shape(resolve_model(str(model)))
    question = MemoryQuestion(shape, args, {"max_model_len": 4096, "threads": 1})
    estimate = SPECS["llamacpp"].memory(question)
    assert estimate is not None
    reported = report(model, question, folder)
    parts = {
        "model": estimate.weights / 2**20,
        "KV": estimate.kv_cache / 2**20,
        "compute": buffers(estimate) - reported["output"],
    }
    for part, mib in parts.items():
        print(f"\n| llama.cpp | {name} | {part} | {reported[part]:.1f} MiB | {mib:.1f} MiB |", end="")
    for part, mib in parts.items():
        assert mib == pytest.approx(reported[part], rel=0.1), part


def buffers(estimate: MemoryEstimate) -> float:
    """MiB, without what llama.cpp does not tell of: the prompt cache, which fills later, and its process."""
    return (estimate.overhead - PROCESS) / 2**20 - 512


def report(model: Path, question: MemoryQuestion, folder: Path) -> dict[str, float]:
    """MiB of each kind of buffer, as llama.cpp writes them while it loads in the process our worker would start."""
    options = convert_options(dict(question.options), LlamaCppOptions, "llamacpp")
    launch = EngineLaunch(model_name="it", args=question.args, options=options, context_length=question.shape.context)
    chosen = settings(launch) | {"verbosity": 4}
    config = ChildConfig(str(model), str(folder / "engine.sock"), "key", os.getpid(), chosen)
    command = [sys.executable, "-m", "dynamo_cli.workers.engines.llamacpp.child"]
    done = subprocess.run(command, input=msgspec.json.encode(config) + b"\n", capture_output=True, timeout=60)
    found = {"model": 0.0, "KV": 0.0, "compute": 0.0, "output": 0.0}
    for kind, mib in BUFFER.findall(done.stderr.decode()):
        found[kind] += float(mib)
    assert found["model"], done.stderr.decode()[-2000:]
    return found

"""The memory estimate beside what the real vLLM reports, on the CPU; runs where DYN_TEST_ENGINES names vllm."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dynamo_cli.estimate.read import read_shape
from dynamo_cli.estimate.result import MemoryEstimate
from dynamo_cli.hub.resolve import resolve_model
from dynamo_cli.workers.engines.base import MemoryQuestion
from dynamo_cli.workers.engines.registry import SPECS
from tests.estimate.gguf_models import Model
from tests.estimate.hf_models import write
from tests.workers.engines.cases import real

pytestmark = real("vllm")
ARGS = ("--max-num-seqs", "16", "--max-num-batched-tokens", "2048", "--kv-cache-memory-bytes", "512M")
SETTINGS = {"max_num_seqs": 16, "max_num_batched_tokens": 2048, "kv_cache_memory_bytes": 512 << 20}
REPORTED = re.compile(r"KV cache size: ([\d,]+) tokens, Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x")
WEIGHTS = re.compile(r"its parameters are (\d+) bytes")
MODELS = {
    "llama, grouped KV heads": Model("llama", layers=8),
    "qwen3, heads of their own size, tied": Model("qwen3", layers=8, head=128, tied=True, vocabulary=64000),
    "gemma3, five of six layers with a window": Model(
        "gemma3_text", layers=12, tied=True, head=128, heads=8, window=512
    ),
    "deepseek_v2, latent attention": Model("deepseek_v2", layers=8, latent=512, rope=64, head=128, heads=8),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_is_within_a_tenth_of_what_vllm_reports(tmp_path: Path, name: str) -> None:
    model = write(tmp_path / "model", MODELS[name])
    command = [sys.executable, "-m", "tests.workers.engines.vllm_report", str(model), json.dumps(SETTINGS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    reported, weights = REPORTED.search(done.stdout), WEIGHTS.search(done.stdout)
    assert reported and weights, done.stdout[-2000:] + done.stderr[-2000:]
    tokens, context, _ = (float(word.replace(",", "")) for word in reported.groups())
    estimate = estimated(model, "--block-size", "16") if MODELS[name].latent else estimated(model)
    print(f"\n| vllm | {name} | weights | {mib(int(weights[1]))} | {mib(estimate.weights)} |")
    print(f"| vllm | {name} | KV tokens | {int(tokens):,} | {estimate.kv_tokens:,} |")
    assert estimate.weights == pytest.approx(int(weights[1]), rel=0.1)
    assert estimate.kv_tokens == pytest.approx(tokens, rel=0.1)
    assert estimate.context == context


def estimated(model: Path, *args: str) -> MemoryEstimate:
    shape = read_shape(resolve_model(str(model)))
    estimate = SPECS["vllm"].memory(MemoryQuestion(shape, (*ARGS, *args)))
    assert estimate is not None
    return estimate


def mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"

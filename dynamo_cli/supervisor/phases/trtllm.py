"""TensorRT-LLM (0.17 to 1.2), its PyTorch backend and its engines."""

from __future__ import annotations

from dynamo_cli.supervisor.phases.rule import Rule

RULES = (
    Rule("load", "Loading Model: "),
    Rule("weights", "checkpoint files."),  # "Prefetching 15.30GB checkpoint files."
    Rule("weights", "weights in parallel:", bar=True),
    Rule("weights", "Loading weights:", bar=True),
    Rule("weights", "Loaded engine size:"),
    Rule("compile", "Building TRT-LLM engine"),
    Rule("compile", "torch.compile warmup"),
    Rule("KV cache", "Memory usage after loading model weights"),
    Rule("KV cache", "for max tokens in paged KV cache"),
    Rule("warm-up", "autotuner warmup"),
    Rule("warm-up", "Autotuning process starts"),
    Rule("graph capture", "Creating CUDA graph instances"),
    Rule("graph capture", "CUDA graph warmup for batch size"),
)

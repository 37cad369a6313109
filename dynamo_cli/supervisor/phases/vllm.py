"""vLLM, its V1 engine (0.8 to 0.32), on GPUs and CPUs."""

from __future__ import annotations

from dynamo_cli.supervisor.phases.rule import Rule

RULES = (
    Rule("load", "Initializing a V1 LLM engine"),
    Rule("weights", "Starting to load model"),
    Rule("weights", "checkpoint shards:", bar=True),
    Rule("weights", "Multi-thread loading shards:", bar=True),
    Rule("KV cache", "Model loading took"),  # the profiling run that sizes the cache follows
    Rule("KV cache", "Loading weights took"),
    Rule("compile", "for vLLM's torch.compile"),
    Rule("compile", "Dynamo bytecode transform time"),
    Rule("compile", "Compiling a graph for"),
    Rule("compile", "Starting torch.compile"),
    Rule("compile", "Warming up model for the compilation"),
    Rule("KV cache", "torch.compile takes"),
    Rule("KV cache", "torch.compile took"),
    Rule("KV cache", "Available KV cache memory"),
    Rule("KV cache", "KV cache size:"),
    Rule("graph capture", "Capturing CUDA graph", bar=True),
    Rule("warm-up", "Graph capturing finished"),
    Rule("warm-up", "init engine (profile, create kv cache, warmup model) took"),
)

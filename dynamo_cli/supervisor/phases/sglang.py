"""SGLang (0.4 to 0.5)."""

from __future__ import annotations

from dynamo_cli.supervisor.phases.rule import Rule

RULES = (
    Rule("load", "Init torch distributed begin"),
    Rule("weights", "Load weight begin"),
    Rule("weights", "checkpoint shards:", bar=True),
    Rule("weights", "Multi-thread loading shards:", bar=True),
    Rule("KV cache", "Load weight end"),
    Rule("KV cache", "KV Cache is allocated"),
    Rule("KV cache", "Memory pool end"),
    Rule("compile", "DeepGEMM JIT Pre-Compile"),
    Rule("compile", "DeepGEMM warmup", bar=True),
    Rule("compile", "Compiling num tokens", bar=True),
    Rule("graph capture", "cuda graph begin"),  # also draft and piecewise graphs
    Rule("graph capture", "Capturing batches", bar=True),
    Rule("graph capture", "Capturing num tokens", bar=True),
    Rule("warm-up", "cuda graph end"),
    Rule("warm-up", "max_total_num_tokens="),
    Rule("warm-up", "Start of co-locate warmup"),
    Rule("first token", "The server is fired up and ready to roll"),
)

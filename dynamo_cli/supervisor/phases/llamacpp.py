"""llama.cpp, its own server and what embeds it."""

from __future__ import annotations

from dynamo_cli.supervisor.phases.rule import Rule

RULES = (
    Rule("load", "load_model: loading model"),
    Rule("weights", "llama_model_loader: loaded meta data"),
    Rule("weights", "loading model tensors, this can take a while"),
    Rule("KV cache", "constructing llama_context"),
    Rule("KV cache", "KV buffer size ="),
    Rule("KV cache", "KV self size  ="),
    Rule("warm-up", "warming up the model with an empty run"),
    Rule("first token", "main: model loaded"),
)

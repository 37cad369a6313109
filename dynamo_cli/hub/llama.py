"""The llama family: what its GGUF files say, in the words of Hugging Face's config.json."""

from __future__ import annotations

import re
from typing import Any

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.gguf import Metadata

_GLOBAL = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_BLOCK = re.compile(r"blk\.(\d+)\.(\w+)\.weight$")


def llama_config(metadata: Metadata, tensors: set[str]) -> dict[str, Any]:
    """config.json of a GGUF file with these key-values and tensor names.

    Raises ModelMissing for a model of another family, or one of this family that config.json cannot describe exactly.
    """
    architecture = metadata.get("general.architecture")
    if architecture != "llama":
        raise ModelMissing(f"only GGUF files of the llama family can be converted, and this is {architecture}")
    if _number(metadata, "expert_count", 0):
        raise ModelMissing("it is a mixture of experts, which cannot be converted")
    scaling = metadata.get("llama.rope.scaling.type", "none")
    if scaling != "none" or "rope_freqs.weight" in tensors:
        raise ModelMissing("its rotary embedding is scaled, which cannot be converted exactly")
    heads, hidden = _number(metadata, "attention.head_count"), _number(metadata, "embedding_length")
    theta = float(_number(metadata, "rope.freq_base", 10_000.0))
    tokens = metadata.get("tokenizer.ggml.tokens", [])
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": _number(metadata, "feed_forward_length"),
        "num_hidden_layers": _number(metadata, "block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _number(metadata, "attention.head_count_kv", heads),
        "head_dim": _number(metadata, "attention.key_length", hidden // heads),
        "max_position_embeddings": _number(metadata, "context_length"),
        "rms_norm_eps": _number(metadata, "attention.layer_norm_rms_epsilon"),
        "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "vocab_size": len(tokens) if isinstance(tokens, list) else 0,
        "bos_token_id": metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": metadata.get("tokenizer.ggml.eos_token_id"),
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": "output.weight" not in tensors,
        "torch_dtype": "bfloat16",
    }


def llama_tensor(name: str) -> tuple[str, str]:
    """A GGUF tensor's name in Hugging Face's model, and "q" or "k" for the two whose rows llama.cpp permutes.

    Raises ModelMissing for one the family does not have.
    """
    if name in _GLOBAL:
        return _GLOBAL[name], ""
    found = _BLOCK.match(name)
    if found is None or found[2] not in _LAYER:
        raise ModelMissing(f"it has a tensor {name}, which the llama family does not have")
    permuted = found[2].removeprefix("attn_") if found[2] in ("attn_q", "attn_k") else ""
    return f"model.layers.{found[1]}.{_LAYER[found[2]]}.weight", permuted


def _number(metadata: Metadata, key: str, default: Any = None) -> Any:
    value = metadata.get(f"llama.{key}", default)
    if not isinstance(value, int | float):
        raise ModelMissing(f"its llama.{key} is {value!r}, no number")
    return value

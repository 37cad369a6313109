"""Models in Hugging Face's layout, of several architectures and any size, all zeros: sparse files."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from tests.estimate.gguf_models import Model

CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "deepseek_v2": "DeepseekV2ForCausalLM",
}


def write(folder: Path, model: Model, dtype: str = "bfloat16") -> Path:
    """config.json and one file of weights with two bytes each."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config(model, dtype)))
    header, end = {}, 0
    for name, shape in _tensors(model):
        begin, end = end, end + 2 * prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return folder


def config(model: Model, dtype: str = "bfloat16") -> dict[str, Any]:
    found: dict[str, Any] = {
        "architectures": [CLASSES[model.architecture]],
        "model_type": model.architecture,
        "dtype": dtype,
        "hidden_act": "silu",
        "hidden_size": model.width,
        "intermediate_size": model.feed_forward,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head,
        "max_position_embeddings": model.context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "vocab_size": model.vocabulary,
        "tie_word_embeddings": model.tied,
        "attention_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if model.window:
        kinds = ["sliding_attention"] * 5 + ["full_attention"]
        found |= {"sliding_window": model.window, "layer_types": (kinds * model.layers)[: model.layers]}
        found |= {"hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256}
    if model.latent:
        del found["head_dim"]
        found |= {
            "num_key_value_heads": model.heads,
            "q_lora_rank": model.latent,
            "kv_lora_rank": model.latent,
            "qk_rope_head_dim": model.rope,
            "qk_nope_head_dim": model.head,
            "v_head_dim": model.head,
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "n_shared_experts": 1,
            "moe_intermediate_size": 64,
            "first_k_dense_replace": model.layers,
            "moe_layer_freq": 1,
        }
    return found


def _tensors(model: Model) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (model.vocabulary, model.width)
    yield "model.norm.weight", (model.width,)
    if not model.tied:
        yield "lm_head.weight", (model.vocabulary, model.width)
    for layer in range(model.layers):
        for name, shape in _layer(model).items():
            yield f"model.layers.{layer}.{name}.weight", shape


def _layer(model: Model) -> dict[str, tuple[int, ...]]:
    width, wide = model.width, model.feed_forward
    norms = ["input_layernorm", "post_attention_layernorm"]
    if model.architecture == "gemma3_text":
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    return {
        **{name: (width,) for name in norms},
        "mlp.gate_proj": (wide, width),
        "mlp.up_proj": (wide, width),
        "mlp.down_proj": (width, wide),
        **{f"self_attn.{name}": shape for name, shape in _attention(model).items()},
    }


def _attention(model: Model) -> dict[str, tuple[int, ...]]:
    width, head = model.width, model.head
    if model.latent:
        return {
            "q_a_proj": (model.latent, width),
            "q_a_layernorm": (model.latent,),
            "q_b_proj": (model.heads * (head + model.rope), model.latent),
            "kv_a_proj_with_mqa": (model.latent + model.rope, width),
            "kv_a_layernorm": (model.latent,),
            "kv_b_proj": (model.heads * 2 * head, model.latent),
            "o_proj": (width, model.heads * head),
        }
    found: dict[str, tuple[int, ...]] = {
        "q_proj": (model.heads * head, width),
        "k_proj": (model.kv_heads * head, width),
        "v_proj": (model.kv_heads * head, width),
        "o_proj": (width, model.heads * head),
    }
    if model.architecture in ("qwen3", "gemma3_text"):
        found |= {"q_norm": (head,), "k_norm": (head,)}
    return found

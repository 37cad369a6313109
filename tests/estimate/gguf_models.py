"""GGUF files of several architectures and any size, all zeros: sparse, so that they take no room and no time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.text.toy_gguf import header

Shapes = dict[str, tuple[int, ...]]
F32, F16 = 0, 1
SIZES = {F32: 4, F16: 2}


@dataclass(frozen=True)
class Model:
    """The numbers that its memory depends on. `window`: tokens of the layers that see no more, which `pattern` counts
    between two that see all. `latent`, `rope`: of multi-head latent attention.
    """

    architecture: str
    layers: int = 4
    width: int = 1024
    heads: int = 16
    kv_heads: int = 4
    head: int = 64
    feed_forward: int = 2816
    vocabulary: int = 32000
    context: int = 8192
    tied: bool = False
    window: int = 0
    latent: int = 0
    rope: int = 0
    experts: int = 0


def write(path: Path, model: Model) -> Path:
    """Matrices of float16, vectors of float32."""
    tensors = dict(_tensors(model))
    offset, infos = 0, []
    for name, shape in tensors.items():
        kind = F32 if len(shape) == 1 else F16
        infos.append((name, shape, kind, offset))
        size = SIZES[kind]
        for side in shape:
            size *= side
        offset += size + -size % 32
    head = header(_metadata(model), infos)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + offset)
    return path


def _metadata(model: Model) -> dict[str, Any]:
    arch = model.architecture
    found: dict[str, Any] = {
        "general.architecture": arch,
        "general.name": "toy",
        f"{arch}.block_count": model.layers,
        f"{arch}.context_length": model.context,
        f"{arch}.embedding_length": model.width,
        f"{arch}.feed_forward_length": model.feed_forward,
        f"{arch}.attention.head_count": model.heads,
        f"{arch}.attention.head_count_kv": model.kv_heads,
        f"{arch}.attention.key_length": model.head,
        f"{arch}.attention.value_length": model.head,
        f"{arch}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{arch}.rope.dimension_count": model.rope or model.head,
        **_vocabulary(model.vocabulary),
    }
    if model.window:
        found[f"{arch}.attention.sliding_window"] = model.window
    if model.latent:
        found |= {
            f"{arch}.attention.head_count_kv": 1,
            f"{arch}.attention.q_lora_rank": model.latent,
            f"{arch}.attention.kv_lora_rank": model.latent,
            f"{arch}.attention.key_length": model.latent + model.rope,
            f"{arch}.attention.value_length": model.latent,
            f"{arch}.attention.key_length_mla": model.head + model.rope,
            f"{arch}.attention.value_length_mla": model.head,
            f"{arch}.leading_dense_block_count": model.layers,
            f"{arch}.expert_feed_forward_length": model.feed_forward,
            f"{arch}.expert_shared_count": 1,
            f"{arch}.expert_weights_scale": 1.0,
            f"{arch}.vocab_size": model.vocabulary,
        }
    if model.experts:
        found |= {f"{arch}.expert_count": model.experts, f"{arch}.expert_used_count": 2}
    return found


def _vocabulary(size: int) -> dict[str, Any]:
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = ["<unk>", "<s>", "</s>", *bytes_]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*tokens, *(f"t{number}" for number in range(size - len(tokens)))],
        "tokenizer.ggml.scores": [-1.0] * size,
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * (size - len(tokens))],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def _tensors(model: Model) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes as llama.cpp wants them, the innermost side first."""
    yield "token_embd.weight", (model.width, model.vocabulary)
    yield "output_norm.weight", (model.width,)
    if not model.tied:
        yield "output.weight", (model.width, model.vocabulary)
    for layer in range(model.layers):
        for name, shape in _layer(model).items():
            yield f"blk.{layer}.{name}.weight", shape


def _layer(model: Model) -> Shapes:
    width, wide = model.width, model.feed_forward
    found: Shapes = {"attn_norm": (width,), "ffn_norm": (width,), **_attention(model)}
    if model.architecture in ("gemma2", "gemma3"):
        found |= {"post_attention_norm": (width,), "post_ffw_norm": (width,)}
    if model.experts:
        return found | {
            "ffn_gate_inp": (width, model.experts),
            "ffn_gate_exps": (width, wide, model.experts),
            "ffn_up_exps": (width, wide, model.experts),
            "ffn_down_exps": (wide, width, model.experts),
        }
    return found | {"ffn_gate": (width, wide), "ffn_up": (width, wide), "ffn_down": (wide, width)}


def _attention(model: Model) -> Shapes:
    width = model.width
    if model.latent:
        return {
            "attn_q_a": (width, model.latent),
            "attn_q_a_norm": (model.latent,),
            "attn_q_b": (model.latent, model.heads * (model.head + model.rope)),
            "attn_kv_a_mqa": (width, model.latent + model.rope),
            "attn_kv_a_norm": (model.latent,),
            "attn_k_b": (model.head, model.latent, model.heads),
            "attn_v_b": (model.latent, model.head, model.heads),
            "attn_output": (model.heads * model.head, width),
        }
    found: Shapes = {
        "attn_q": (width, model.heads * model.head),
        "attn_k": (width, model.kv_heads * model.head),
        "attn_v": (width, model.kv_heads * model.head),
        "attn_output": (model.heads * model.head, width),
    }
    if model.architecture in ("qwen3", "gemma3"):
        found |= {"attn_q_norm": (model.head,), "attn_k_norm": (model.head,)}
    return found

"""Tensors -> how many bytes they are, and which of them tensor parallelism divides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from dynamo_cli.estimate.shape import Part, Weights
from dynamo_cli.hub.tensors import Tensor

FLOATS = ("F64", "F32", "F16", "BF16")
_BY_KV_HEADS = re.compile(r"\b(k_proj|v_proj|attn_k|attn_v)\b")
_WHOLE = re.compile(r"\b(q_a_proj|kv_a_proj_with_mqa|attn_q_a|attn_kv_a_mqa|gate|ffn_gate_inp|router)\.(weight|bias)$")
"""Router of a mixture of experts, and the compressing halves of latent attention: each GPU has them."""


def divided(tensors: Iterable[Tensor]) -> Weights:
    """Vectors, such as norms, are on each GPU; matrices are divided, those of K and V by their heads."""
    parts = {"split": Part(), "by_kv_heads": Part(), "whole": Part()}
    stored = 0
    for tensor in tensors:
        stored += tensor.bytes
        place = _place(tensor)
        loose = tensor.kind in FLOATS
        parts[place] = parts[place].plus(*((tensor.numbers, 0) if loose else (0, tensor.bytes)))
    return Weights(stored=stored, **parts)


def _place(tensor: Tensor) -> str:
    if len(tensor.shape) < 2 or _WHOLE.search(tensor.name):
        return "whole"
    return "by_kv_heads" if _BY_KV_HEADS.search(tensor.name) else "split"


def in_numbers(tensors: Sequence[Tensor]) -> Weights:
    """Of weights that are made floating point before they are divided; `stored` is what they are now."""
    weights = divided(tensor._replace(kind="BF16") for tensor in tensors)
    return msgspec.structs.replace(weights, stored=sum(tensor.bytes for tensor in tensors))

"""Write GGUF files: any metadata, and a one-layer model of zeros that llama.cpp accepts for its vocabulary."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path

WIDTH = 32


def write_gguf(path: Path, metadata: dict, tensors: dict[str, tuple[int, ...]] | None = None, version: int = 3) -> Path:
    """`tensors`: name -> shape, all zeros of float32 (ones where the name ends with norm.weight)."""
    offset, infos, bodies = 0, [], []
    for name, shape in (tensors or {}).items():
        infos.append((name, shape, 0, offset))
        body = struct.pack("<f", 1.0 if name.endswith("norm.weight") else 0.0) * prod(shape)
        bodies.append(body + bytes(-len(body) % 32))
        offset += len(bodies[-1])
    path.write_bytes(header(metadata, infos, version) + b"".join(bodies))
    return path


def header(metadata: dict, tensors: list[tuple[str, tuple[int, ...], int, int]], version: int = 3) -> bytes:
    """All that stands before the weights. `tensors`: name, shape, type and offset of each."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    head += b"".join(_string(key) + _value(value) for key, value in metadata.items())
    for name, shape, kind, offset in tensors:
        head += _string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        head += struct.pack("<IQ", kind, offset)
    return head + bytes(-len(head) % 32)


def write_model(path: Path, tokenizer: dict) -> Path:
    """A loadable model around the `tokenizer.ggml.*` metadata."""
    size = len(tokenizer["tokenizer.ggml.tokens"])
    square = (WIDTH, WIDTH)
    tensors = {
        "token_embd.weight": (WIDTH, size),
        "output_norm.weight": (WIDTH,),
        "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.ffn_norm.weight": (WIDTH,),
    }
    tensors |= {
        f"blk.0.{name}.weight": square
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    }
    return write_gguf(path, {**model_metadata(), **tokenizer}, tensors)


def model_metadata() -> dict:
    return {
        "general.architecture": "llama",
        "general.name": "toy",
        "llama.block_count": 1,
        "llama.context_length": 256,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": WIDTH,
        "llama.attention.head_count": 1,
        "llama.attention.head_count_kv": 1,
        "llama.rope.dimension_count": WIDTH,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
    }


def _string(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(encoded)) + encoded


def _value(value: object) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    assert isinstance(value, list)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_string, value))
    if value and isinstance(value[0], float):
        return struct.pack("<IIQ", 9, 6, len(value)) + struct.pack(f"<{len(value)}f", *value)
    return struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)

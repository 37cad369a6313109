"""config.json of a Hugging Face model -> what its memory depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dynamo_cli.estimate.shape import Attention, ModelShape, ShapeUnknown, Weights, believable, gathered
from dynamo_cli.estimate.weights import divided
from dynamo_cli.hub.tensors import Tensor

Config = Mapping[str, Any]

NAMES = {
    "num_hidden_layers": ("n_layer", "num_layers", "n_layers"),
    "hidden_size": ("n_embd", "d_model", "n_embed"),
    "num_attention_heads": ("n_head", "n_heads"),
    "num_key_value_heads": ("num_kv_heads", "n_head_kv", "multi_query_group_num"),
    "max_position_embeddings": ("n_positions", "max_seq_len", "seq_length", "n_ctx", "max_sequence_length"),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size"),
    "num_experts_per_tok": ("num_experts_per_token", "moe_topk"),
}
"""What older models call the same."""
PATTERNS = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4}
"""One of so many layers sees all tokens, where neither `layer_types` nor `sliding_window_pattern` says which."""
STATE_SPACE = ("mamba", "jamba", "zamba", "bamba", "falcon_h1", "nemotron_h", "plamo2", "rwkv", "granitemoehybrid")
STRETCHED = ("linear", "dynamic")


def shape_of_config(config: Config, weights: Weights | Sequence[Tensor]) -> ModelShape:
    """`weights`: the tensors, or what is known of them. Raises ShapeUnknown."""
    try:
        return _shape({**config, **(config.get("text_config") or {})}, weights)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:  # whatever others have written into it
        raise ShapeUnknown(f"its config.json is not understood: {error}") from error


def _shape(config: Config, weights: Weights | Sequence[Tensor]) -> ModelShape:
    kind = str(config.get("model_type", ""))
    if kind.startswith(STATE_SPACE):
        raise ShapeUnknown(f"{kind} has layers that keep a state, which is not estimated")
    heads, width = _number(config, "num_attention_heads"), _number(config, "hidden_size")
    return ModelShape(
        kind="hf",
        architecture=kind,
        context=_context(config),
        layers=_layers(config),
        width=width,
        heads=heads,
        head=_head(config, heads, width),
        feed_forward=_feed_forward(config, width),
        vocabulary=_number(config, "vocab_size", 0),
        attention=gathered(list(_attention(config, heads, width))),
        weights=weights if isinstance(weights, Weights) else divided(weights),
    )


def _attention(config: Config, heads: int, width: int) -> list[Attention]:
    """Each layer that keeps its own KV."""
    if config.get("kv_lora_rank"):
        values = _number(config, "kv_lora_rank") + _number(config, "qk_rope_head_dim")
        return [Attention(layers=_layers(config), heads=1, values=values, latent=True)]
    head, kv_heads = _head(config, heads, width), _kv_heads(config, heads)
    wide = _number(config, "global_head_dim", head), _number(config, "num_global_key_value_heads", kv_heads)
    layers = []
    for window in _windows(config):
        size, number = (head, kv_heads) if window or "global_head_dim" not in config else wide
        layers.append(Attention(layers=1, heads=number, values=2 * size, window=window))
    return layers


def _windows(config: Config) -> list[int]:
    """Of each layer that keeps KV: the tokens it looks back, 0 for all."""
    layers, window = _layers(config), _window(config)
    types = config.get("layer_types")
    if isinstance(types, list) and len(types) == layers:
        found = [window if "sliding" in kind or "chunked" in kind else 0 for kind in types if "linear" not in kind]
    else:
        found = [0 if _sees_all(at, config) else window for at in range(layers)]
    shared = _number(config, "num_kv_shared_layers", 0)
    return found[: len(found) - shared]


def _window(config: Config) -> int:
    if config.get("use_sliding_window") is False:
        return 0
    window = config.get("sliding_window") or config.get("attention_chunk_size") or 0
    return window if isinstance(window, int) else 0


def _sees_all(layer: int, config: Config) -> bool:
    if config.get("use_sliding_window"):
        return layer < _number(config, "max_window_layers", 0)
    pattern = config.get("sliding_window_pattern") or PATTERNS.get(str(config.get("model_type")), 0)
    if isinstance(pattern, str):  # EXAONE 4 writes LLLG: local, local, local, global
        return pattern[layer % len(pattern)] == "G"
    return bool(pattern) and (layer + 1) % pattern == 0


def _kv_heads(config: Config, heads: int) -> int:
    if config.get("multi_query") and not config.get("new_decoder_architecture"):
        return 1
    return _number(config, "num_key_value_heads", heads)


def _head(config: Config, heads: int, width: int) -> int:
    return _number(config, "head_dim", 0) or _number(config, "kv_channels", 0) or width // heads


def _feed_forward(config: Config, width: int) -> int:
    own = _number(config, "intermediate_size", 4 * width)
    chosen = _number(config, "num_experts_per_tok", 0)
    if not chosen:
        return own
    shared = _number(config, "n_shared_experts", 0)
    return max(own, _number(config, "moe_intermediate_size", own) * (chosen + shared))


def _context(config: Config) -> int:
    """As engines derive it: a rotary embedding may be stretched beyond what the model was trained for."""
    trained = _number(config, "max_position_embeddings", 0)
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind, factor = rope.get("rope_type") or rope.get("type"), float(rope.get("factor") or 1)
    if kind == "yarn":
        return int((rope.get("original_max_position_embeddings") or trained) * factor)
    return int(trained * factor) if kind in STRETCHED else trained


def _layers(config: Config) -> int:
    return believable(_number(config, "num_hidden_layers"))


def _number(config: Config, name: str, default: int | None = None) -> int:
    value = _found(config, name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0 or (default is None and not value):
        raise ShapeUnknown(f"{name} of its config.json is {value!r}" if value is not None else f"it has no {name}")
    return value


def _found(config: Config, name: str, default: Any) -> Any:
    for spelled in (name, *NAMES.get(name, ())):
        if config.get(spelled) is not None:
            return config[spelled]
    return default

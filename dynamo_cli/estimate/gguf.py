"""The head of a GGUF file -> what the model's memory depends on."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from dynamo_cli.estimate.shape import Attention, ModelShape, ShapeUnknown, believable, gathered
from dynamo_cli.estimate.weights import in_numbers
from dynamo_cli.hub.gguf import Metadata
from dynamo_cli.hub.tensors import Tensor

PATTERNS = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "cohere2": 4, "exaone4": 4, "gpt-oss": 2, "olmo2": 4}
"""One of so many layers sees all tokens, of architectures whose windows llama.cpp heeds."""
STATE_SPACE = ("ssm.state_size", "wkv.head_size")


def shape_of_gguf(metadata: Metadata, tensors: Sequence[Tensor]) -> ModelShape:
    """Raises ShapeUnknown."""
    told = _Told(metadata)
    return ModelShape(
        kind="gguf",
        architecture=told.architecture,
        context=told.number("context_length", 0),
        layers=told.layers,
        width=told.width,
        heads=told.heads,
        head=told.head,
        feed_forward=told.feed_forward,
        vocabulary=told.vocabulary,
        attention=gathered(told.attention()),
        weights=in_numbers(tensors),
    )


class _Told:
    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self.architecture = str(metadata.get("general.architecture", ""))
        for key in STATE_SPACE:
            if self._value(key):
                raise ShapeUnknown(f"{self.architecture} has layers that keep a state, which is not estimated")

    @property
    def layers(self) -> int:
        return believable(self.number("block_count"))

    @property
    def width(self) -> int:
        return self.number("embedding_length")

    @property
    def heads(self) -> int:
        return max(self._of_layers("attention.head_count"))

    @property
    def head(self) -> int:
        return self.number("attention.key_length_mla", 0) or self._kept("key")

    @property
    def feed_forward(self) -> int:
        own = max(self._of_layers("feed_forward_length", 4 * self.width))
        chosen = self.number("expert_used_count", 0) + self.number("expert_shared_count", 0)
        return max(own, chosen * self.number("expert_feed_forward_length", own)) if chosen else own

    @property
    def vocabulary(self) -> int:
        tokens = self._metadata.get("tokenizer.ggml.tokens")
        return len(tokens) if isinstance(tokens, list) else self.number("vocab_size", 0)

    def attention(self) -> list[Attention]:
        """Each layer."""
        layers = self.layers
        if self._value("attention.kv_lora_rank"):
            values = self.number("attention.kv_lora_rank") + self.number("rope.dimension_count")
            return [Attention(layers=layers, heads=1, values=values, latent=True)]
        kv_heads = self._of_layers("attention.head_count_kv", self.heads)
        values = self._kept("key") + self._kept("value")
        return [
            Attention(layers=1, heads=heads, values=values, window=window)
            for heads, window in zip(kv_heads, self._windows(layers), strict=True)
            if heads
        ]

    def _kept(self, what: str) -> int:
        """Numbers of a key or value, one head."""
        return self.number(f"attention.{what}_length", self.width // max(self.heads, 1))

    def _windows(self, layers: int) -> list[int]:
        window = self.number("attention.sliding_window", 0)
        pattern = self._value("attention.sliding_window_pattern")
        if isinstance(pattern, array):
            flags = self._each("attention.sliding_window_pattern", pattern)
            return [window if flag else 0 for flag in flags]
        every = pattern if isinstance(pattern, int) else PATTERNS.get(self.architecture, 0)
        return [window if every and at % every < every - 1 else 0 for at in range(layers)]

    def _of_layers(self, key: str, default: int | None = None) -> list[int]:
        """Of each layer, where they may differ."""
        value = self._value(key)
        if isinstance(value, array):
            return [int(number) for number in self._each(key, value)]
        return [self.number(key, default)] * self.layers

    def _each(self, key: str, values: array[int] | array[float]) -> array[int] | array[float]:
        """One of each layer; some files have more, of layers that predict several tokens ahead."""
        if len(values) < self.layers:
            raise ShapeUnknown(f"its {self.architecture}.{key} has {len(values)} values for {self.layers} layers")
        return values[: self.layers]

    def number(self, key: str, default: int | None = None) -> int:
        value = self._value(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or value < 0 or (default is None and not value):
            raise ShapeUnknown(f"its {self.architecture}.{key} is {'missing' if value is None else value}")
        return value

    def _value(self, key: str) -> Any:
        return self._metadata.get(f"{self.architecture}.{key}")

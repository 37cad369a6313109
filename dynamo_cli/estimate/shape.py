"""What of a model its memory depends on, whatever file told it."""

from __future__ import annotations

from typing import Literal

import msgspec

MOST_LAYERS = 10_000
"""More than any model has; they are gone through one by one."""


class ShapeUnknown(Exception):
    """Why the memory of this model cannot be estimated, in a few words."""


class Part(msgspec.Struct, frozen=True):
    """`numbers`: weights in floating point, which an engine may load in another precision. `packed`: bytes of those
    that stay as they are stored."""

    numbers: int = 0
    packed: int = 0

    def plus(self, numbers: int = 0, packed: int = 0) -> Part:
        return Part(self.numbers + numbers, self.packed + packed)

    def bytes(self, size: int) -> int:
        """With `size` bytes a number."""
        return self.numbers * size + self.packed


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """`stored`: bytes in the files. How tensor parallelism divides them: `split` among all its GPUs, `by_kv_heads`
    among as many as there are KV heads, `whole` not at all."""

    stored: int
    split: Part = Part()
    by_kv_heads: Part = Part()
    whole: Part = Part()

    def of_rank(self, size: int, ranks: int, kv_heads: int) -> int:
        """Bytes on each of `ranks` GPUs, with `size` bytes a number."""
        divided = -(-self.split.bytes(size) // ranks)
        heads = -(-self.by_kv_heads.bytes(size) // min(ranks, max(kv_heads, 1)))
        return divided + heads + self.whole.bytes(size)

    @property
    def numbers(self) -> int:
        return self.split.numbers + self.by_kv_heads.numbers + self.whole.numbers


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """`layers` that keep the same for each token: `heads` times `values` numbers, K and V together.

    `window`: tokens such a layer looks back, 0 for all. `latent`: one compressed vector stands for all heads, which
    cannot be divided among GPUs.
    """

    layers: int
    heads: int
    values: int
    window: int = 0
    latent: bool = False

    def of_rank(self, ranks: int) -> int:
        """Numbers that one layer keeps for a token on each of `ranks` GPUs; there is at least one head on each."""
        return self.values * max(1, self.heads // ranks)


class ModelShape(msgspec.Struct, frozen=True, kw_only=True):
    """`context`: tokens the model was made for, 0 when unknown. `width` of the hidden state; `heads` of the queries,
    `head` numbers each; `feed_forward`: numbers that one token makes in such a layer, of all experts it goes through.
    """

    kind: Literal["gguf", "hf"]
    architecture: str
    context: int
    layers: int
    width: int
    heads: int
    head: int
    feed_forward: int
    vocabulary: int
    attention: tuple[Attention, ...]
    weights: Weights

    @property
    def kv_heads(self) -> int:
        return min((each.heads for each in self.attention), default=1)

    @property
    def latent(self) -> bool:
        return any(each.latent for each in self.attention)

    def divides(self, ranks: int) -> bool:
        """Whether its heads can be divided among so many GPUs, none of them kept twice but latent ones."""
        return self.heads % ranks == 0 and (self.latent or self.kv_heads % ranks == 0)

    def kv_numbers(self, ranks: int = 1) -> int:
        """Numbers that a token keeps in all layers, on each of `ranks` GPUs, while it is in every window."""
        return sum(each.layers * each.of_rank(ranks) for each in self.attention)


def believable(layers: int) -> int:
    """The same. Raises ShapeUnknown for a number that only a damaged file claims."""
    if layers > MOST_LAYERS:
        raise ShapeUnknown(f"it claims {layers} layers")
    return layers


def gathered(layers: list[Attention]) -> tuple[Attention, ...]:
    """Layers that are alike as one, in the order they first come."""
    counted: dict[Attention, int] = {}
    for layer in layers:
        counted[layer] = counted.get(layer, 0) + layer.layers
    return tuple(msgspec.structs.replace(layer, layers=number) for layer, number in counted.items())

"""What llama.cpp allocates on a CPU: weights, KV cells, and the buffers of one step."""

from __future__ import annotations

from dynamo_cli.estimate.result import MemoryEstimate, Settings
from dynamo_cli.estimate.shape import Attention, ModelShape

PADDING = 256
"""Cells of a KV cache come in so many (llama_kv_cache, GGML_PAD(n_ctx, 256))."""
PROCESS = 96 << 20
"""Python, llama.cpp's code and its vocabulary, beside what it reports."""


def llamacpp_memory(shape: ModelShape, settings: Settings) -> MemoryEstimate:
    """`settings.context` is that of one sequence, and `settings.cache` bytes keep prompts beside the KV cache."""
    context = _padded(settings.context)
    streams = 1 if settings.unified else settings.sequences
    cells = context if settings.unified else context * settings.sequences
    kv = sum(_cells(each, context, settings) * streams * _cell(each, settings) for each in shape.attention)
    return MemoryEstimate(
        weights=shape.weights.stored,
        kv_cache=round(kv),
        overhead=compute_buffer(shape, settings) + _logits(shape, settings) + settings.cache + PROCESS,
        kv_bytes_per_token=round(sum(_cell(each, settings) for each in shape.attention)),
        kv_tokens=cells,
        context=context,
        sequences=settings.sequences,
    )


def compute_buffer(shape: ModelShape, settings: Settings) -> int:
    """Bytes of the largest moment in the graph of one step (`ggml_gallocr`), flash attention being on.

    What lives at once was found by changing one number of a model at a time: the masks of each kind of layer, and
    either the feed forward, the attention or the logits, in float32.
    """
    context = _padded(settings.context)
    windows = {each.window: each for each in shape.attention}
    masks = sum(_cells(each, context, settings) for each in windows.values()) * settings.batch * 2
    narrow = 5 * shape.width
    feed_forward = narrow + 3 * shape.feed_forward
    step = 4 * settings.batch
    return masks + max(step * feed_forward, step * _attending(shape), step * narrow + _logits(shape, settings))


def _attending(shape: ModelShape) -> int:
    """Numbers a token makes in the widest attention."""
    if shape.latent:
        latent = max(each.values for each in shape.attention)
        return 3 * shape.width + shape.heads * (2 * latent + 2 * shape.head)
    kv = max((each.heads * each.values for each in shape.attention), default=0)
    return shape.width + 3 * shape.heads * shape.head + kv


def _logits(shape: ModelShape, settings: Settings) -> int:
    return 4 * shape.vocabulary * settings.sequences


def _cells(attention: Attention, context: int, settings: Settings) -> int:
    """Of one sequence, or of the one cache of all: a window, and the step that is being computed."""
    if not attention.window or settings.full_windows:
        return context
    sharers = settings.sequences if settings.unified else 1
    return min(context, _padded(attention.window * sharers + settings.batch))


def _cell(attention: Attention, settings: Settings) -> float:
    """Bytes that a token takes in these layers; of latent attention V is a part of K."""
    numbers = attention.layers * attention.heads * attention.values
    return numbers * (settings.k_bytes if attention.latent else (settings.k_bytes + settings.v_bytes) / 2)


def _padded(cells: int) -> int:
    return -(-cells // PADDING) * PADDING

"""What vLLM takes: a share of each GPU, of which the KV cache gets what weights and computing leave."""

from __future__ import annotations

from dynamo_cli.estimate.result import MemoryEstimate, Settings
from dynamo_cli.estimate.shape import Attention, ModelShape

CONTEXT = 600 << 20
"""CUDA's context, its kernels and the libraries' workspaces on one GPU: `non-torch` memory of vLLM's profile run."""
COMMUNICATION = 900 << 20
"""NCCL and custom all-reduce, where several GPUs share a model."""
GRAPHS = 512 << 20
"""CUDA graphs of the usual batch sizes."""
CPU_PROCESS = 1500 << 20
"""Of vLLM's three processes, what torch and vLLM themselves hold."""
GPU_BLOCK, CPU_BLOCK = 16, 128
GPU_BATCHES, CPU_BATCHES = 2, 1
"""Steps in flight: with asynchronous scheduling, which GPUs have, a second one while the first is settled."""
VOCABULARY_PADDING = 64


def vllm_memory(shape: ModelShape, settings: Settings) -> MemoryEstimate:
    """On a GPU as `gpu_memory_utilization` divides it (`determine_available_memory`), on a CPU with a given cache."""
    size = settings.number_bytes
    weights = shape.weights.of_rank(size, settings.ranks, shape.kv_heads)
    weights += _vocabulary_padding(shape, settings) * size
    overhead = _overhead(shape, settings, size)
    room = int(settings.device * settings.share)
    cache = settings.cache or max(0, room - weights - overhead)
    context = settings.context or shape.context
    tokens = _tokens(shape, settings, cache, context)
    return MemoryEstimate(
        weights=weights,
        kv_cache=cache,
        overhead=overhead,
        kv_bytes_per_token=round(_per_token(shape, settings)),
        kv_tokens=tokens,
        context=context,
        sequences=settings.sequences,
        room=room,
    )


def _vocabulary_padding(shape: ModelShape, settings: Settings) -> int:
    rows = -shape.vocabulary % (VOCABULARY_PADDING * settings.ranks)
    return rows * shape.width // settings.ranks


def _overhead(shape: ModelShape, settings: Settings, size: int) -> int:
    """What is neither weights nor KV: the profile run with a full step, its logits, and what CUDA takes."""
    step = settings.batch * size * (4 * shape.width + 3 * shape.feed_forward // settings.ranks)
    sampled = settings.sequences * shape.vocabulary * 4 * 3
    if not settings.device:
        return step + sampled + CPU_PROCESS
    beside = CONTEXT + (COMMUNICATION if settings.ranks > 1 else 0) + (GRAPHS if settings.graphs else 0)
    return step + sampled + beside


def _per_token(shape: ModelShape, settings: Settings) -> float:
    return shape.kv_numbers(settings.ranks) * _kv_size(settings)


def _kv_size(settings: Settings) -> float:
    return settings.k_bytes or settings.number_bytes


def _tokens(shape: ModelShape, settings: Settings, cache: int, context: int) -> int:
    """As `get_kv_cache_capacity`: how many requests of a whole context fit, times that context."""
    if not context or not shape.attention:
        return 0
    groups = _groups(shape.attention, settings.full_windows)
    page = max(settings.block or (GPU_BLOCK if settings.device else CPU_BLOCK), 1)
    layer = max(each.of_rank(settings.ranks) for each in shape.attention) * _kv_size(settings) * page
    widest = max(layers for layers, _ in groups)
    blocks = int(cache // (layer * widest))
    in_flight = settings.batch * (GPU_BATCHES if settings.device else CPU_BATCHES)
    wanted = sum(_blocks(window, page, context, in_flight) for _, window in groups)
    return int(blocks / wanted * context)


def _groups(attention: tuple[Attention, ...], full_windows: bool) -> list[tuple[int, int]]:
    """(layers, window) of each group that has a block table of its own; all draw from one pool of blocks.

    As `_get_kv_cache_groups_uniform_page_size`: groups are as large as the smallest kind of layer, or as the largest
    where that is less than half as many more.
    """
    kinds: dict[int, int] = {}
    for each in attention:
        window = 0 if full_windows else each.window
        kinds[window] = kinds.get(window, 0) + each.layers
    least, most = min(kinds.values()), max(kinds.values())
    size = most if most < 1.5 * least else least
    return [(size, window) for window, layers in kinds.items() for _ in range(-(-layers // size))]


def _blocks(window: int, page: int, context: int, in_flight: int) -> int:
    """That a request of a whole context holds at most."""
    if not window:
        return -(-context // page)
    kept = min(window - 1 + in_flight, context)
    return -(-kept // page) + 1

"""What an estimate says."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What of an engine's settings its memory depends on; 0 is the engine's own choice.

    `device`: bytes of each GPU, 0 for an engine on the CPU. `share` of it that vLLM takes. `ranks`: GPUs that share a
    model. `context`: tokens of the longest sequence. `sequences` at a time. `batch`: tokens of one step. `block`:
    tokens the KV cache is divided by. `number_bytes` of a weight that the engine may choose the precision of;
    `k_bytes`, `v_bytes` of a number in the KV cache. `cache`: bytes set aside for the KV cache. `graphs` are captured.
    `unified`: sequences share one KV cache; `full_windows`: layers with a window keep all tokens too.
    """

    device: int = 0
    share: float = 0.92
    ranks: int = 1
    context: int = 0
    sequences: int = 128
    batch: int = 2048
    block: int = 0
    number_bytes: int = 2
    k_bytes: float = 0
    v_bytes: float = 0
    cache: int = 0
    graphs: bool = True
    unified: bool = False
    full_windows: bool = False


class MemoryEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """Of one worker: bytes on each of its GPUs, or in main memory. `kv_cache` is set aside at the start.

    `kv_bytes_per_token`: what a token adds on each GPU. `kv_tokens` that the worker holds in all, in sequences of
    `context` tokens, of which it works on `sequences` at a time. `room`: bytes that it may take, 0 when there is no
    limit but the machine's.
    """

    weights: int
    kv_cache: int
    overhead: int
    kv_bytes_per_token: int
    kv_tokens: int
    context: int
    sequences: int
    room: int = 0

    @property
    def total(self) -> int:
        return self.weights + self.kv_cache + self.overhead

    @property
    def concurrency(self) -> float:
        """Sequences of `context` tokens each at a time."""
        return min(self.kv_tokens / self.context, self.sequences) if self.context else 0.0

"""The options of router mode kv."""

from __future__ import annotations

from dataclasses import dataclass

from dynamo_cli.router.affinity import AffinityMode
from dynamo_cli.router.index import CachePolicy

DEFAULT_BLOCK_SIZE = 16
WEIGHTS = ("overlap_credit", "host_credit", "disk_credit", "temperature")
OF_REFERENCE = ("decay_rate", "prefill_load_scale", "decode_active_request_weight")
"""Weights that the cost of policy "reference" has, and no other."""


@dataclass(frozen=True)
class KvRoutingOptions:
    """Times in seconds. `overlap_credit` and the next two: blocks saved for each block found on the device, in host
    memory, on disk. `temperature` 0: no chance. `decay_rate` and the next two are of policy "reference" alone.

    `use_events`: believe what workers tell of their caches; without it, and for workers that tell nothing, it is
    guessed: for `ttl_s`, or with `cache_policy` "lru" until others take its place. That is at most as many blocks as a
    worker has, and `max_tree_size` of all workers, which are cut to `prune_ratio` of that.
    `predicted_ttl_s`, with events: routed blocks count as present for so long; None: as long as their request runs.
    `replica_sync`: frontends tell each other what they route, when there are several.
    `block_size`: in tokens, of workers that tell none; None is DEFAULT_BLOCK_SIZE. `session_ttl_s`: None keeps none.
    """

    policy: str = "kv"
    overlap_credit: float = 1.0
    host_credit: float = 0.75
    disk_credit: float = 0.25
    temperature: float = 0.0
    decay_rate: float = 0.0
    prefill_load_scale: float = 1.0
    decode_active_request_weight: float = 0.0
    use_events: bool = True
    ttl_s: float = 120.0
    cache_policy: CachePolicy = "ttl"
    max_tree_size: int = 1 << 20
    prune_ratio: float = 0.8
    predicted_ttl_s: float | None = None
    track_active_blocks: bool = True
    track_output_blocks: bool = False
    replica_sync: bool = True
    session_ttl_s: float | None = None
    session_mode: AffinityMode = "hard"
    block_size: int | None = None

    @property
    def weights(self) -> dict[str, float]:
        """For make_policy."""
        names = WEIGHTS + (OF_REFERENCE if self.policy == "reference" else ())
        return {name: getattr(self, name) for name in names}

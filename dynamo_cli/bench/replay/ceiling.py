"""The most a router could find: the hits of one cache that is as large as all of them together."""

from __future__ import annotations

from collections import OrderedDict

from dynamo_cli.bench.replay.workload import ReplayWorkload


def pooled_lru_hit_ratio(load: ReplayWorkload, total_blocks: int) -> float:
    """Of all blocks asked for, the share a single LRU cache of `total_blocks` has, in the order of arrival.

    It holds prompts alone, and a prompt is in it the moment it arrives.
    """
    cache: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for arrival in load.arrivals:
        at = 0
        while at < len(arrival.blocks) and arrival.blocks[at] in cache:
            at += 1
        hits += at
        # The end of a prompt goes before its beginning, which others may share.
        for block in reversed(arrival.blocks):
            cache[block] = None
            cache.move_to_end(block)
        while len(cache) > total_blocks:
            cache.popitem(last=False)
    return hits / max(1, load.asked_blocks)

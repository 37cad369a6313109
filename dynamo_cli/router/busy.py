"""Which workers are too loaded for another request."""

from __future__ import annotations

from typing import NamedTuple

from dynamo_cli.protocol.load import NO_THRESHOLDS, BusyThresholds
from dynamo_cli.router.load import LoadNow


def judges(thresholds: BusyThresholds) -> bool:
    """Whether any worker can be busy at all."""
    return thresholds is not NO_THRESHOLDS and thresholds != NO_THRESHOLDS


class Capacity(NamedTuple):
    """A worker's KV blocks, and the tokens it takes in one step; 0 is unknown."""

    blocks: int = 0
    batch: int = 0


UNKNOWN = Capacity()


def is_busy(thresholds: BusyThresholds, load: LoadNow, capacity: Capacity) -> bool:
    """Whether a worker is over any threshold; an unknown capacity is never exceeded."""
    share, tokens = thresholds.active_decode_blocks_threshold, thresholds.active_prefill_tokens_threshold
    fraction = thresholds.active_prefill_tokens_threshold_frac
    return (
        (share is not None and capacity.blocks > 0 and load.active_decode_blocks > share * capacity.blocks)
        or (tokens is not None and load.active_prefill_tokens > tokens)
        or (fraction is not None and capacity.batch > 0 and load.active_prefill_tokens > fraction * capacity.batch)
    )

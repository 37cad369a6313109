"""How loaded a worker is, and when that is too much."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

THRESHOLDS_PREFIX = "v1/busy_thresholds/"


class WorkerLoad(msgspec.Struct, array_like=True, frozen=True):
    """What a worker tells of itself on its heartbeat.

    `active_decode_blocks`: KV blocks that hold tokens of running sequences, of `total_blocks` (0: unknown).
    `active_prefill_tokens`: prompt tokens of running and waiting sequences that are still to be prefilled.
    `running` and `waiting` count sequences.
    """

    active_decode_blocks: int = 0
    total_blocks: int = 0
    active_prefill_tokens: int = 0
    running: int = 0
    waiting: int = 0


class BusyThresholds(msgspec.Struct, frozen=True, kw_only=True):
    """A worker over any of them is busy; None judges nothing. The names are those of the reference.

    `active_decode_blocks_threshold`: a share of the worker's KV blocks. `active_prefill_tokens_threshold`: prompt
    tokens still to be prefilled; `..._frac`: the same as a multiple of the worker's max_num_batched_tokens.
    """

    active_decode_blocks_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    active_prefill_tokens_threshold: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    active_prefill_tokens_threshold_frac: Annotated[float, Meta(ge=0)] | None = None


NO_THRESHOLDS = BusyThresholds()


class ThresholdChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /busy_threshold: what is left out stays as it is, null is no threshold any more."""

    model: str
    active_decode_blocks_threshold: Annotated[float, Meta(ge=0, le=1)] | msgspec.UnsetType | None = msgspec.UNSET
    active_prefill_tokens_threshold: Annotated[int, Meta(ge=0, le=2**53)] | msgspec.UnsetType | None = msgspec.UNSET
    active_prefill_tokens_threshold_frac: Annotated[float, Meta(ge=0)] | msgspec.UnsetType | None = msgspec.UNSET

    def applied_to(self, thresholds: BusyThresholds) -> BusyThresholds:
        names = BusyThresholds.__struct_fields__
        given = {name: value for name in names if (value := getattr(self, name)) is not msgspec.UNSET}
        return msgspec.structs.replace(thresholds, **given)

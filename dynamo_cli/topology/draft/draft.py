"""A topology that was decided on, before it is written."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from dynamo_cli.estimate.result import MemoryEstimate
from dynamo_cli.topology.draft.units import Units


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for; 0 tokens of context and engine "auto" leave it to us."""

    engine: str = "auto"
    context: int = 0
    disagg: bool = False


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """`pools`: workers by the names of their pools, which are their roles when there are two. `units`: the GPUs they
    are spread over, `ranks` to a worker; None on the CPU. `trained`: tokens the model was made for, 0 when unknown.

    `estimate` of one worker, None when its memory is not known, with the reason `unknown`; `alone`: with half as many
    GPUs.
    """

    name: str
    model: str
    engine: str
    engine_reason: str
    wishes: Wishes
    pools: dict[str, int] = {}
    units: Units | None = None
    ranks: int = 1
    context: int = 0
    trained: int = 0
    args: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    estimate: MemoryEstimate | None = None
    alone: MemoryEstimate | None = None
    unknown: str = ""

    @property
    def workers(self) -> int:
        return sum(self.pools.values())


def draft_name(model: str) -> str:
    """Of a deployment, and of its file without the suffix."""
    last = model.rstrip("/").rpartition("/")[2].removesuffix(".gguf")
    return re.sub(r"[^a-z0-9_-]+", "-", last.lower()).strip("-_")[:40].rstrip("-_") or "local"

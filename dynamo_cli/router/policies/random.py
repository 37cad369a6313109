from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from dynamo_cli.router.policies.base import Policy


class Random(Policy):
    """Every instance is equally likely."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def pick(self, candidates: Sequence[int], inflight: Mapping[int, int]) -> int:
        return candidates[int(self._rng.random() * len(candidates))]

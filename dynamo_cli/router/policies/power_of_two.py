from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from dynamo_cli.router.policies.base import Policy


class PowerOfTwo(Policy):
    """Draw two distinct instances; the one with fewer requests in flight wins, the first on a tie."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def pick(self, candidates: Sequence[int], inflight: Mapping[int, int]) -> int:
        count = len(candidates)
        if count == 1:
            return candidates[0]
        at = int(self._rng.random() * count)
        first = candidates[at]
        second = candidates[(at + 1 + int(self._rng.random() * (count - 1))) % count]
        return second if inflight.get(second, 0) < inflight.get(first, 0) else first

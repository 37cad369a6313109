from __future__ import annotations

import random
from collections.abc import Sequence

from dynamo_cli.router.policies.base import Decision, Policy, RoutingRequest, State


class PowerOfTwo(Policy):
    """Draw two distinct instances; the one with fewer requests in flight wins, the first on a tie."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def decide(self, request: RoutingRequest, candidates: Sequence[int], state: State, now: float) -> Decision:
        count = len(candidates)
        if count == 1:
            return Decision(candidates[0])
        inflight = state.inflight
        at = int(self._rng.random() * count)
        first = candidates[at]
        second = candidates[(at + 1 + int(self._rng.random() * (count - 1))) % count]
        return Decision(second if inflight.get(second, 0) < inflight.get(first, 0) else first)

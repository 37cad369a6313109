from __future__ import annotations

import random
from collections.abc import Sequence

from dynamo_cli.router.policies.base import Decision, Policy, RoutingRequest, State
from dynamo_cli.router.selection import cheapest


class LeastTokens(Policy):
    """The fewest prompt tokens still to be computed; knows nothing of caches."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def decide(self, request: RoutingRequest, candidates: Sequence[int], state: State, now: float) -> Decision:
        queued = state.prefill_tokens
        costs = [queued.get(worker, 0) for worker in candidates]
        return Decision(candidates[cheapest(costs, self._rng)], 0, costs)

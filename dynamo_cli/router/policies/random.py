from __future__ import annotations

import random
from collections.abc import Sequence

from dynamo_cli.router.policies.base import Decision, Policy, RoutingRequest, State


class Random(Policy):
    """Every instance is equally likely."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def decide(self, request: RoutingRequest, candidates: Sequence[int], state: State, now: float) -> Decision:
        return Decision(candidates[int(self._rng.random() * len(candidates))])

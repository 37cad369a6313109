from __future__ import annotations

from collections.abc import Sequence

from dynamo_cli.router.policies.base import Decision, Policy, RoutingRequest, State


class RoundRobin(Policy):
    """One after the other; `offset` is where the first turn starts."""

    def __init__(self, offset: int = 0) -> None:
        self._turn = offset

    def decide(self, request: RoutingRequest, candidates: Sequence[int], state: State, now: float) -> Decision:
        self._turn += 1
        return Decision(candidates[self._turn % len(candidates)])

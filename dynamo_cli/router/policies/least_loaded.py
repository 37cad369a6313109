from __future__ import annotations

from collections.abc import Sequence

from dynamo_cli.router.policies.base import Decision, Policy, RoutingRequest, State


class LeastLoaded(Policy):
    """The fewest requests in flight; ties take turns, so that an idle deployment is used evenly."""

    def __init__(self, offset: int = 0) -> None:
        self._turn = offset

    def decide(self, request: RoutingRequest, candidates: Sequence[int], state: State, now: float) -> Decision:
        count, inflight = len(candidates), state.inflight
        self._turn = (self._turn + 1) % count
        best = candidates[self._turn]
        least = inflight.get(best, 0)
        for step in range(1, count):
            if not least:
                break
            candidate = candidates[(self._turn + step) % count]
            load = inflight.get(candidate, 0)
            if load < least:
                best, least = candidate, load
        return Decision(best)

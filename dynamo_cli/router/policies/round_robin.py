from __future__ import annotations

from collections.abc import Mapping, Sequence

from dynamo_cli.router.policies.base import Policy


class RoundRobin(Policy):
    """One after the other; `offset` is where the first turn starts."""

    def __init__(self, offset: int = 0) -> None:
        self._turn = offset

    def pick(self, candidates: Sequence[int], inflight: Mapping[int, int]) -> int:
        self._turn += 1
        return candidates[self._turn % len(candidates)]

"""Requests that wait because every worker is busy computing prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Literal

from dynamo_cli.router.policies.base import RoutingRequest

QueueOrder = Literal["fcfs", "wspt"]


class AdmissionQueue:
    """`threshold`: a worker is busy with more prompt tokens queued than so many times its batch; None: never.

    A higher strict priority goes first. Within it, `fcfs`: who came first, a priority counting as so many seconds
    earlier; `wspt`: the largest (1 + priority) / prompt tokens, so short ones first. Equal ones in order of arrival.
    """

    def __init__(self, threshold: float | None = None, order: QueueOrder = "fcfs") -> None:
        self._threshold = threshold
        self._order = order
        self._heap: list[tuple[int, float, int, RoutingRequest]] = []
        self._waiting: dict[str, int] = {}
        self._arrival = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def busy(self, candidates: Sequence[int], queued: Mapping[int, int], batch: Mapping[int, int]) -> bool:
        """Whether a request must wait. `batch`: the most tokens of one step, by worker; unknown ones are never busy."""
        threshold = self._threshold
        if threshold is None:
            return False
        for worker in candidates:
            most = batch.get(worker, 0)
            if not most or queued.get(worker, 0) <= threshold * most:
                return False
        return True

    def push(self, request: RoutingRequest, now: float) -> None:
        """Let a request wait, under its id; a waiting one that is pushed again waits anew."""
        turn = next(self._arrival)
        if self._order == "wspt":
            key = -(1.0 + request.priority) / max(1, request.tokens)
        else:
            key = now - request.priority
        heappush(self._heap, (-request.strict_priority, key, turn, request))
        self._waiting[request.request_id] = turn

    def pop(self) -> RoutingRequest | None:
        """Whose turn it is; None when nobody waits."""
        while self._heap:
            _, _, turn, request = heappop(self._heap)
            if self._waiting.get(request.request_id) == turn:
                del self._waiting[request.request_id]
                return request
        return None

    def cancel(self, request_id: str) -> bool:
        """The request waits no longer; False when it did not."""
        known = self._waiting.pop(request_id, None) is not None
        if len(self._heap) > 2 * len(self._waiting) + 64:
            self._heap = sorted(one for one in self._heap if self._waiting.get(one[3].request_id) == one[2])
        return known

"""What the last probes of each service found, and how long the answers took."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from dynamo_cli.protocol.detail import ProbeResult
from dynamo_cli.supervisor.outside_probes import Answer

KEPT = 20
"""Of each service."""
A = TypeVar("A", Answer, bool)


class ProbeHistory:
    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._results: dict[str, deque[ProbeResult]] = {}

    async def note(self, service: str, kind: str, probe: Awaitable[A]) -> A:
        """Await the answer to a probe of this service, and remember it."""
        asked_at = self._clock()
        answer = await probe
        took_ms = round((self._clock() - asked_at) * 1000, 1)
        passed, reason = (answer, "no answer") if isinstance(answer, bool) else (answer.ready, answer.reason)
        self._results.setdefault(service, deque(maxlen=KEPT)).append(
            ProbeResult(
                time=round(self._wall_clock(), 3),
                kind=kind,
                passed=passed,
                took_ms=took_ms,
                reason="" if passed else reason,
            )
        )
        return answer

    def of(self, service: str) -> list[ProbeResult]:
        """The latest last."""
        return list(self._results.get(service, ()))

    def keep(self, services: Collection[str]) -> None:
        """Forget all but these."""
        for gone in self._results.keys() - set(services):
            del self._results[gone]

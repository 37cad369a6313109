"""One service on a ground and a clock that the test holds."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from dynamo_cli.supervisor.service import Ground, Service
from dynamo_cli.topology.process import Liveness
from tests.supervisor.plans import worker


class HungProcess:
    """As ground: nobody answers within the timeout. As child: what it was sent."""

    def __init__(self, timeout_s: float) -> None:
        self.now = 100.0
        self.asked: list[float] = []
        self.signals: list[int] = []
        self._timeout_s = timeout_s

    async def alive(self, spec: object) -> bool:
        self.asked.append(self.now)
        await self.sleep(self._timeout_s)
        return False

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def changed(self, service: object) -> None:
        pass

    def signal(self, signum: int) -> None:
        self.signals.append(signum)


@pytest.mark.parametrize("timeout_s", [0.0, 3.0, 5.0])
async def test_liveness_is_asked_every_so_often_however_long_an_answer_takes(
    timeout_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = HungProcess(timeout_s)
    monkeypatch.setattr(asyncio, "sleep", hung.sleep)
    liveness = Liveness(interval_s=5.0, timeout_s=timeout_s, failures=6)
    service = Service(worker(0, liveness=liveness), cast(Ground, hung), clock=lambda: hung.now)
    service.child, service._ready_at = cast(Any, hung), 100.0
    await service._watch_liveness(cast(Any, hung))
    assert hung.asked == [105.0, 110.0, 115.0, 120.0, 125.0, 130.0]
    assert hung.signals == [9]

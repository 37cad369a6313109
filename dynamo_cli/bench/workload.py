"""What one load level asks for, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dynamo_cli.bench.work.synthetic import Shape
from dynamo_cli.bench.work.trace import Trace


@dataclass(frozen=True)
class Workload:
    """A closed loop of `concurrency` conversations at a time; an open loop when `rate` (1/s) is set, or `trace`.

    Sending ends after `requests` or `duration_s`, whichever is first; answers under way are waited for.
    `max_concurrency`: requests in flight of an open loop. `cancel_rate`: the share of requests given up by the client.
    `extra`: more fields of each request; `headers`: of its HTTP head. `pids`: processes to measure with it.
    """

    requests: int | None = None
    concurrency: int = 16
    rate: float | None = None
    arrivals: str = "poisson"
    burstiness: float = 1.0
    max_concurrency: int | None = None
    ramp_s: float = 0.0
    duration_s: float | None = None
    warmup: int = 0
    timeout_s: float = 300.0
    think_s: float = 0.0
    cancel_rate: float = 0.0
    shape: Shape = field(default_factory=Shape)
    trace: Trace | None = None
    stream: bool = True
    ignore_eos: bool = False
    ask_worker: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    pids: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.rate is not None or self.trace is not None

    @property
    def most_in_flight(self) -> int | None:
        """None: as many as the arrivals bring."""
        return self.max_concurrency if self.is_open else self.concurrency

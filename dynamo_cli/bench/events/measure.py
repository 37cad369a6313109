"""Row by row: off, on, off, on."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext

from dynamo_cli.bench.budgets.result import Result
from dynamo_cli.bench.budgets.rows import Row
from dynamo_cli.bench.budgets.served import Served
from dynamo_cli.bench.events.publishers import Publishers
from dynamo_cli.bench.report.model import Spread
from dynamo_cli.bench.work.synthetic import Shape
from dynamo_cli.bench.workload import Workload
from dynamo_cli.errors import DynamoError

BLOCKS = 100_000
LEAST_OF_RATE = 0.9
TURNS, TURN_REQUESTS = 5, 400
FRONTEND = Row("frontend", "frontend's CPU for 100,000 blocks/s stored and as many removed", "cores", 0.5)
PUBLISHERS = Row("publishers", "all publishers' CPU for the same", "cores", 0.5)
E2E_P50 = Row("e2e-p50", "E2E p50 of a 62-in/1-out request, with events to without", "x", 2.0)
E2E_P99 = Row("e2e-p99", "E2E p99 of the same", "x", 2.0)
TTFT_P50 = Row("ttft-p50", "streamed TTFT p50, with events to without", "x", 2.0)
TTFT_P99 = Row("ttft-p99", "streamed TTFT p99 of the same", "x", 2.0)
ROWS = (FRONTEND, PUBLISHERS, E2E_P50, E2E_P99, TTFT_P50, TTFT_P99)


class Measures:
    """`rate`: the publishers' together, in blocks a second. `scale` shrinks each run for a quick look."""

    def __init__(self, served: Served, publishers: Publishers, rate: float, runs: int, scale: float) -> None:
        self._served = served
        self._publishers = publishers
        self._rate = rate
        self._runs = runs
        self._scale = scale

    def measure(self, wanted: Iterable[str]) -> Iterator[Result]:
        """In groups, as they are measured. Raises DynamoError when the machine cannot keep up with the rate."""
        groups: list[tuple[tuple[Row, ...], Callable[[], tuple[float, ...]]]] = [
            ((FRONTEND, PUBLISHERS), self._cores),
            ((E2E_P50, E2E_P99), lambda: self._latency(stream=False)),
            ((TTFT_P50, TTFT_P99), lambda: self._latency(stream=True)),
        ]
        names = set(wanted)
        for rows, measure in groups:
            if any(row.name in names for row in rows):
                turns = [measure() for _ in range(self._runs)]
                for row, values in zip(rows, zip(*turns, strict=True), strict=True):
                    if row.name in names:
                        yield _result(row, values)

    def _cores(self) -> tuple[float, float]:
        """What both take with events more than without."""
        seconds = max(1.0, 5 * self._scale)
        idle = self._publishers.measure(seconds, telling=False)
        busy = self._publishers.measure(seconds, telling=True)
        if busy.blocks < LEAST_OF_RATE * self._rate * busy.seconds:
            told = busy.blocks / busy.seconds
            raise DynamoError(f"only {told:,.0f} of {self._rate:,.0f} blocks/s were told: the machine is too busy")
        frontend = busy.frontend_cpu_s / busy.seconds - idle.frontend_cpu_s / idle.seconds
        publishers = busy.publishers_cpu_s / busy.seconds - idle.publishers_cpu_s / idle.seconds
        hundred_thousand = busy.blocks / busy.seconds / BLOCKS
        return frontend / hundred_thousand, publishers / hundred_thousand

    def _latency(self, *, stream: bool) -> tuple[float, float]:
        """p50 and p99, with events to without; short turns, because a machine is not the same for long."""
        quiet, told = [], []
        for _ in range(max(1, round(TURNS * self._scale))):
            quiet.append(self._spread(stream, telling=False))
            told.append(self._spread(stream, telling=True))
        return _ratio(told, quiet, "p50"), _ratio(told, quiet, "p99")

    def _spread(self, stream: bool, telling: bool) -> Spread:
        work = Workload(TURN_REQUESTS, 1, shape=Shape(osl=1), stream=stream, warmup=50)
        with self._publishers.telling() if telling else nullcontext():
            report = self._served.load(62, work)
        spread = report.ttft_ms if stream else report.e2e_ms
        assert spread is not None
        return spread


def _ratio(told: Iterable[Spread], quiet: Iterable[Spread], rank: str) -> float:
    with_events, without = (statistics.median(getattr(each, rank) for each in side) for side in (told, quiet))
    return float(with_events / without)


def _result(row: Row, values: Iterable[float]) -> Result:
    runs = [round(value, 4) for value in values]
    measured = round(statistics.median(runs), 4)
    return Result(row=row.name, what=row.what, unit=row.unit, budget=row.budget, measured=measured, runs=runs)

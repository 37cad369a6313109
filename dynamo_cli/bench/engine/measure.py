"""Pairs of runs, one through the deployment and one at the engine itself, in turns on the same machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import psutil

from dynamo_cli.bench.budgets.served import Served
from dynamo_cli.bench.engine.direct import Direct
from dynamo_cli.bench.engine.load import Load
from dynamo_cli.bench.work.synthetic import Shape
from dynamo_cli.bench.workload import Workload
from dynamo_cli.errors import DynamoError


class Side(NamedTuple):
    """Of one run. CPU in ms a token: of the frontend, and of the process that holds the engine's API."""

    tokens_per_s: float
    frontend_ms: float
    host_ms: float


class Pair(msgspec.Struct, frozen=True):
    """CPU in ms a token. `added_ms`: of the frontend, and what the worker's process takes more than one that only asks
    the engine. `ratio`: the deployment's throughput over the engine's own.
    """

    served_tokens_per_s: float
    direct_tokens_per_s: float
    frontend_ms: float
    worker_ms: float
    direct_ms: float

    @property
    def ratio(self) -> float:
        return self.served_tokens_per_s / self.direct_tokens_per_s

    @property
    def added_ms(self) -> float:
        return self.frontend_ms + self.worker_ms - self.direct_ms


class Pairs:
    """`worker_pid`: the worker host, whose children are the engine's own."""

    def __init__(self, served: Served, worker_pid: int, direct: Direct, load: Load) -> None:
        self._served = served
        self._worker_pid = worker_pid
        self._direct = direct
        self._load = load
        self._seed = 0

    def measure(self, count: int) -> Iterator[Pair]:
        """The side that begins alternates. A first run of each warms both up."""
        self._through()
        self._directly()
        for number in range(count):
            if number % 2:
                direct, through = self._directly(), self._through()
            else:
                through, direct = self._through(), self._directly()
            yield Pair(
                served_tokens_per_s=through.tokens_per_s,
                direct_tokens_per_s=direct.tokens_per_s,
                frontend_ms=through.frontend_ms,
                worker_ms=through.host_ms,
                direct_ms=direct.host_ms,
            )

    def _through(self) -> Side:
        load, served = self._load, self._served
        self._seed += 1
        shape = Shape(isl=load.isl - served.template_tokens, osl=load.osl, seed=self._seed)
        work = Workload(load.requests, load.concurrency, shape=shape, ignore_eos=True)
        frontend, worker = _meter(served.frontend_pid), _meter(self._worker_pid)
        report = served.ask(work)
        tokens = report.completion_tokens
        if tokens != load.requests * load.osl:
            raise DynamoError(f"{tokens} tokens came where {load.requests * load.osl} were asked for")
        return Side(tokens / report.duration_s, frontend() / tokens * 1e3, worker() / tokens * 1e3)

    def _directly(self) -> Side:
        self._seed += 1
        host = _meter(self._direct.pid)
        answer = self._direct.ask(self._load, self._load.isl, self._seed)
        return Side(answer.tokens / answer.duration_s, 0.0, host() / answer.tokens * 1e3)


def _meter(pid: int) -> Callable[[], float]:
    """CPU seconds since now of the process itself."""
    process = psutil.Process(pid)

    def used() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    before = used()
    return lambda: used() - before


class Median(NamedTuple):
    """With the interval from the second smallest to the second largest value: for seven, it holds the true median
    with a probability of 7/8 (order statistics of the binomial distribution with p = 1/2).
    """

    median: float
    low: float
    high: float


def median_of(values: list[float]) -> Median:
    """Of fewer than five values the interval is their whole range."""
    ordered = sorted(values)
    inner = ordered[1:-1] if len(ordered) >= 5 else ordered
    return Median(statistics.median(ordered), inner[0], inner[-1])

"""Simulated workers behind a router, in virtual time."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from statistics import fmean

from dynamo_cli.protocol.kv import KvEvent
from dynamo_cli.router.core import KvRouter
from dynamo_cli.router.index import ApproximateIndex
from dynamo_cli.router.policies import make_policy
from dynamo_cli.router.policies.base import RoutingRequest
from dynamo_cli.workers.engines.mock.simulation.blocks import BlockPool
from dynamo_cli.workers.engines.mock.simulation.sequence import Sequence as Simulated
from dynamo_cli.workers.engines.mock.simulation.simulator import Simulator
from dynamo_cli.workers.engines.mock.simulation.step import Step
from dynamo_cli.workers.engines.mock.simulation.timing import StepClock

BLOCK_SIZE = 512


@dataclass
class Arrival:
    """`names`: chained hashes of the prompt's full blocks."""

    at: float
    tokens: int
    output: int
    names: Sequence[int]


@dataclass
class Outcome:
    routed: list[int] = field(default_factory=list)
    ttft_s: list[float] = field(default_factory=list)
    e2e_s: list[float] = field(default_factory=list)
    cached: int = 0
    asked: int = 0
    computed: dict[int, int] = field(default_factory=dict)

    @property
    def hits(self) -> float:
        return self.cached / self.asked

    @property
    def mean_ttft_s(self) -> float:
        return fmean(self.ttft_s)

    @property
    def mean_e2e_s(self) -> float:
        return fmean(self.e2e_s)

    @property
    def max_over_mean(self) -> float:
        """Of the prompt tokens that workers computed."""
        return max(self.computed.values()) / fmean(self.computed.values())


class Cluster:
    """`lag_s`: how late the router hears of stored and removed blocks. `restarts`: when which worker begins anew."""

    def __init__(
        self,
        policy: str,
        workers: int = 8,
        blocks: int = 3000,
        *,
        seed: int = 0,
        lag_s: float = 0.0,
        capacity_known: bool = True,
        guess: bool = False,
    ) -> None:
        chosen = make_policy(policy, random.Random(seed))
        self.router = KvRouter(chosen, block_size=BLOCK_SIZE, guess=ApproximateIndex() if guess else None)
        self.outcome = Outcome()
        self._simulators = [
            Simulator(clock=StepClock(), pool=BlockPool(blocks, BLOCK_SIZE), seed=worker) for worker in range(workers)
        ]
        for worker in range(workers):
            self.router.add_worker(worker, blocks if capacity_known else 0)
            self.outcome.computed[worker] = 0
        self._workers = list(range(workers))
        self._lag_s = lag_s
        self._guess = guess
        self._on_their_way: deque[tuple[float, int, KvEvent]] = deque()
        self._passes: list[tuple[float, int]] = []
        self._running: dict[int, Step] = {}

    def run(self, arrivals: Iterable[Arrival]) -> Outcome:
        waiting = deque(arrivals)
        while waiting or self._passes:
            if waiting and (not self._passes or waiting[0].at <= self._passes[0][0]):
                self._arrive(waiting.popleft(), len(self.outcome.routed))
            else:
                self._end_pass(*heappop(self._passes))
        return self.outcome

    def _arrive(self, arrival: Arrival, number: int) -> None:
        while self._on_their_way and self._on_their_way[0][0] <= arrival.at:
            _, worker, event = self._on_their_way.popleft()
            self.router.apply(worker, event)
        names = list(arrival.names)
        request = RoutingRequest(names, arrival.tokens, str(number), expected_output=arrival.output)
        worker = self.router.route(request, self._workers, arrival.at).worker
        self.outcome.routed.append(worker)
        simulator = self._simulators[worker]
        step = simulator.cut(arrival.at)
        simulator.add(Simulated(arrival.tokens, arrival.output, names, owner=(str(number), arrival)))
        self._go_on(worker, step or simulator.leap(arrival.at))

    def _end_pass(self, now: float, worker: int) -> None:
        step = self._running.get(worker)
        if step is None or step.ends_at != now:
            return
        del self._running[worker]
        for sequence in step.began:
            self.outcome.ttft_s.append(now - sequence.owner[1].at)
            self.outcome.cached += sequence.cached_tokens // BLOCK_SIZE
            self.outcome.asked += len(sequence.owner[1].names)
            self.router.first_token(sequence.owner[0], now)
        for sequence in step.finished:
            self.outcome.e2e_s.append(now - sequence.owner[1].at)
            self.router.free(sequence.owner[0], now)
        self.outcome.computed[worker] += step.prefill_tokens
        for event in self._simulators[worker].drain_events():
            if not self._guess:
                self._on_their_way.append((now + self._lag_s, worker, event))
        self._go_on(worker, self._simulators[worker].leap(now))

    def _go_on(self, worker: int, step: Step | None) -> None:
        if step is not None and self._running.get(worker) is not step:
            self._running[worker] = step
            heappush(self._passes, (step.ends_at, worker))

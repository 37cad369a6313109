"""Simulated workers behind a router, on one virtual clock."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import groupby

from dynamo_cli.bench.replay.workload import Arrival, ReplayWorkload
from dynamo_cli.errors import InvalidRequest
from dynamo_cli.router.core import KvRouter
from dynamo_cli.router.policies import make_policy
from dynamo_cli.router.policies.base import RoutingRequest
from dynamo_cli.workers.engines.mock.simulation.blocks import BlockPool
from dynamo_cli.workers.engines.mock.simulation.sequence import Sequence
from dynamo_cli.workers.engines.mock.simulation.simulator import Simulator
from dynamo_cli.workers.engines.mock.simulation.step import Step, TokenGaps
from dynamo_cli.workers.engines.mock.simulation.timing import StepClock


@dataclass(frozen=True)
class Shape:
    """`blocks`: of each worker's KV cache. `speedup` divides the engine's times, not the trace's."""

    workers: int
    blocks: int
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    speedup: float = 1.0


@dataclass
class Outcome:
    """Times in seconds, an entry for each request that finished. `refused`: they fit no worker's cache."""

    ttft_s: array[float] = field(default_factory=lambda: array("d"))
    e2e_s: array[float] = field(default_factory=lambda: array("d"))
    gaps: TokenGaps = field(default_factory=TokenGaps)
    prefill_tokens: list[int] = field(default_factory=list)
    cached_tokens: int = 0
    preemptions: int = 0
    refused: int = 0
    ended_at: float = 0.0


class Cluster:
    """Runs one workload under one policy; use it once. Events reach the router when the pass that made them ends."""

    def __init__(self, load: ReplayWorkload, shape: Shape, policy: str, seed: int) -> None:
        self.router = KvRouter(make_policy(policy, random.Random(seed)), block_size=load.block_size)
        self.outcome = Outcome(prefill_tokens=[0] * shape.workers)
        self._load = load
        self._simulators = [_simulator(load, shape, f"{seed} {worker}") for worker in range(shape.workers)]
        self._workers = list(range(shape.workers))
        self._passes: list[tuple[float, int]] = []
        self._running: dict[int, Step] = {}
        for worker in self._workers:
            self.router.add_worker(worker, shape.blocks, shape.max_num_batched_tokens, load.block_size)

    def run(self) -> Outcome:
        """All requests from arrival to end."""
        for now, together in groupby(self._load.arrivals, key=lambda arrival: arrival.at):
            self._end_passes_before(now)
            self._arrive(now, together)
        self._end_passes_before(float("inf"))
        outcome = self.outcome
        outcome.preemptions = sum(simulator.preemptions for simulator in self._simulators)
        return outcome

    def _arrive(self, now: float, together: Iterable[Arrival]) -> None:
        """Those of one moment are all there before a worker begins its next pass."""
        under_way: dict[int, Step | None] = {}
        for arrival in together:
            names = arrival.blocks[: arrival.full]
            wanted = RoutingRequest(names, arrival.prompt_tokens, str(arrival.number), session=arrival.session)
            worker = self.router.route(wanted, self._workers, now).worker
            under_way[worker] = self._simulators[worker].cut(now)
            self._add(worker, arrival, names)
        for worker, step in under_way.items():
            self._follow(worker, step or self._simulators[worker].leap(now))

    def _add(self, worker: int, arrival: Arrival, names: list[int]) -> None:
        sequence = Sequence(arrival.prompt_tokens, arrival.output_tokens, names, owner=arrival)
        try:
            self._simulators[worker].add(sequence)
        except InvalidRequest:
            self.outcome.refused += 1
            self.router.free(str(arrival.number), arrival.at)

    def _end_passes_before(self, now: float) -> None:
        passes = self._passes
        while passes and passes[0][0] < now:
            ends_at, worker = heappop(passes)
            step = self._running.get(worker)
            if step is None or step.ends_at != ends_at:
                continue  # it was cut: another entry stands for what is left of it
            del self._running[worker]
            self._account(worker, step)
            self._follow(worker, self._simulators[worker].leap(ends_at))

    def _follow(self, worker: int, step: Step | None) -> None:
        if step is not None and self._running.get(worker) is not step:
            self._running[worker] = step
            heappush(self._passes, (step.ends_at, worker))

    def _account(self, worker: int, step: Step) -> None:
        outcome, router, now = self.outcome, self.router, step.ends_at
        outcome.gaps.add(step)
        outcome.prefill_tokens[worker] += step.prefill_tokens
        for event in self._simulators[worker].drain_events():
            router.apply(worker, event)
        for arrival in _owners(step.began):
            router.first_token(str(arrival.number), now)
        for sequence in step.finished:
            arrival = sequence.owner
            router.free(str(arrival.number), now)
            outcome.cached_tokens += sequence.cached_tokens
            outcome.ttft_s.append((sequence.first_token_at or 0.0) - arrival.at)
            outcome.e2e_s.append((sequence.finished_at or 0.0) - arrival.at)
        outcome.ended_at = now


def _owners(sequences: Iterable[Sequence]) -> Iterable[Arrival]:
    return (sequence.owner for sequence in sequences)


def _simulator(load: ReplayWorkload, shape: Shape, seed: str) -> Simulator:
    return Simulator(
        clock=StepClock(shape.speedup),
        pool=BlockPool(shape.blocks, load.block_size),
        max_num_seqs=shape.max_num_seqs,
        max_num_batched_tokens=shape.max_num_batched_tokens,
        seed=random.Random(seed).getrandbits(63),
    )

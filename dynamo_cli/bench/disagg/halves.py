"""Simulated workers, aggregated or as prefill and decode workers, on one virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count

from dynamo_cli.disagg.conditional import ConditionalDisagg, Outlook, burden, stays_local
from dynamo_cli.workers.engines.mock.simulation.blocks import BlockPool
from dynamo_cli.workers.engines.mock.simulation.sequence import Sequence as Simulated
from dynamo_cli.workers.engines.mock.simulation.simulator import Simulator
from dynamo_cli.workers.engines.mock.simulation.step import Step, TokenGaps
from dynamo_cli.workers.engines.mock.simulation.timing import Link, StepClock


@dataclass(frozen=True)
class Shape:
    """`prefill` and `decode` workers; without prefill workers the others do it all. `blocks`: of each worker's cache.

    `conditional`: when decode workers compute prompts although there are prefill workers.
    """

    decode: int
    prefill: int = 0
    conditional: ConditionalDisagg | None = None
    blocks: int = 16384
    block_size: int = 64
    max_num_batched_tokens: int = 2048
    link: Link = field(default_factory=Link)


@dataclass(frozen=True)
class Arrival:
    """`at` in seconds of virtual time. `counted`: its time to the first token is of interest."""

    at: float
    prompt_tokens: int
    output_tokens: int
    counted: bool = True


@dataclass
class Outcome:
    """Times in seconds. `gaps`: between tokens, of all streams. `remote` prompts were computed by prefill workers.

    `computed`: prompt tokens, by worker, prefill workers first.
    """

    ttft_s: list[float] = field(default_factory=list)
    gaps: TokenGaps = field(default_factory=TokenGaps)
    remote: int = 0
    finished: int = 0
    computed: list[int] = field(default_factory=list)


class Halves:
    """Runs one list of arrivals; use it once. A request goes to the worker with least to do."""

    def __init__(self, shape: Shape) -> None:
        self.outcome = Outcome()
        self._shape = shape
        self.simulators = [self._simulator(number) for number in range(shape.prefill + shape.decode)]
        self._prefill = range(shape.prefill)
        self._decode = range(shape.prefill, shape.prefill + shape.decode)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._running: dict[int, Step] = {}
        self._kept: dict[Simulated, tuple[int, Simulated]] = {}
        self._needed_at = -float("inf")
        self._guests: dict[Simulated, int] = {}

    def run(self, arrivals: Sequence[Arrival], until: float = float("inf")) -> Outcome:
        """All requests from arrival to end, or what happens before that moment."""
        for arrival in arrivals:
            self._at(arrival.at, self._arriving(arrival))
        while self._events and self._events[0][0] <= until:
            now, _, happen = heappop(self._events)
            happen(now)
        self.outcome.computed = [simulator.computed_tokens for simulator in self.simulators]
        return self.outcome

    def _at(self, moment: float, happen: Callable[[float], None]) -> None:
        heappush(self._events, (moment, next(self._order), happen))

    def _arriving(self, arrival: Arrival) -> Callable[[float], None]:
        def arrive(now: float) -> None:
            if self._goes_remote(arrival):
                self._send_home(now)
                self.outcome.remote += 1
                sequence = Simulated(arrival.prompt_tokens, 1, owner=arrival)
                sequence.keeps = True
                self._add(self._idlest(self._prefill), sequence, now)
            else:
                sequence = Simulated(arrival.prompt_tokens, arrival.output_tokens, owner=arrival)
                worker = self._answering(arrival.prompt_tokens, now)
                if worker in self._prefill:
                    self._guests[sequence] = worker
                self._add(worker, sequence, now)

        return arrive

    def _answering(self, prompt_tokens: int, now: float) -> int:
        """Who answers a prompt that stays local."""
        at_home = self._idlest(self._decode)
        conditional = self._shape.conditional
        after_s = None if conditional is None else conditional.prefill_answers_after_s
        if not self._prefill or after_s is None or now - self._needed_at < after_s:
            return at_home
        visited = self._idlest(self._prefill)
        return visited if self._burden(visited) < self._burden(at_home) else at_home

    def _burden(self, worker: int) -> int:
        load = self.simulators[worker].load()
        return burden(load.prefill_tokens, load.active_blocks, self._shape.block_size)

    def _send_home(self, now: float) -> None:
        """Prefill workers are needed: what they answer goes on at a decode worker, as a prompt again."""
        self._needed_at = now
        guests, self._guests = self._guests, {}
        for sequence, worker in guests.items():
            if sequence.phase != "done":
                self._disturb(worker, now, partial(self.simulators[worker].end, sequence))
                done = self.simulators[worker].generated(sequence)
                left = Simulated(sequence.prompt_tokens + done, sequence.max_tokens - done, owner=sequence.owner)
                if done:
                    left.first_token_at, left.preempted_at = sequence.first_token_at, now
                self._add(self._idlest(self._decode), left, now)

    def _goes_remote(self, arrival: Arrival) -> bool:
        conditional = self._shape.conditional
        if not self._prefill or conditional is None:
            return bool(self._prefill)
        queue = self.simulators[self._idlest(self._prefill)].load().prefill_tokens
        load = self.simulators[self._idlest(self._decode)].load()
        waits, usage = queue / self._shape.max_num_batched_tokens, load.active_blocks / load.total_blocks
        return not stays_local(conditional, Outlook(arrival.prompt_tokens, 0, waits, usage))

    def _idlest(self, workers: Sequence[int]) -> int:
        """By prompt tokens still to be computed, then by requests."""

        def to_do(worker: int) -> tuple[int, int]:
            load = self.simulators[worker].load()
            return load.prefill_tokens, load.running + load.waiting

        return min(workers, key=to_do)

    def _add(self, worker: int, sequence: Simulated, now: float) -> None:
        self._disturb(worker, now, lambda: self.simulators[worker].add(sequence))

    def _disturb(self, worker: int, now: float, change: Callable[[], None]) -> None:
        """Change something of a worker in the middle of its passes."""
        simulator = self.simulators[worker]
        under_way = simulator.cut(now) if worker in self._running else None
        change()
        self._follow(worker, now, under_way)

    def _follow(self, worker: int, now: float, step: Step | None = None) -> None:
        """`step` goes on, or the next one begins."""
        simulator = self.simulators[worker]
        if step is None:
            step = simulator.leap(now)
            for sequence in simulator.drain_receiving():
                tokens = sequence.prompt_tokens - sequence.cached_tokens
                self._at(now + self._shape.link.seconds(tokens), self._transferred(worker, sequence))
        if step is not None and self._running.get(worker) is not step:
            self._running[worker] = step
            self._at(step.ends_at, self._ending(worker, step))

    def _transferred(self, worker: int, sequence: Simulated) -> Callable[[float], None]:
        def arrive(now: float) -> None:
            source, kept = self._kept.pop(sequence)
            self._disturb(source, now, lambda: self.simulators[source].end(kept))
            self._disturb(worker, now, lambda: self.simulators[worker].received(sequence))

        return arrive

    def _ending(self, worker: int, step: Step) -> Callable[[float], None]:
        def end(now: float) -> None:
            if self._running.get(worker) is step:  # else it was cut, and what is left of it ends by itself
                del self._running[worker]
                self._account(worker, step, now)
                self._follow(worker, now)

        return end

    def _account(self, worker: int, step: Step, now: float) -> None:
        outcome = self.outcome
        outcome.gaps.add(step)
        for sequence in step.finished:
            if sequence.keeps:
                self._hand_over(worker, sequence, now)
            else:
                outcome.finished += 1
        for sequence in step.began:
            if sequence.owner.counted and not sequence.keeps:
                outcome.ttft_s.append(now - sequence.owner.at)

    def _hand_over(self, source: int, kept: Simulated, now: float) -> None:
        arrival: Arrival = kept.owner
        sequence = Simulated(arrival.prompt_tokens, arrival.output_tokens, owner=arrival)
        sequence.remote = True
        self._kept[sequence] = source, kept
        self._add(self._idlest(self._decode), sequence, now)

    def _simulator(self, number: int) -> Simulator:
        shape = self._shape
        return Simulator(
            clock=StepClock(),
            pool=BlockPool(shape.blocks, shape.block_size),
            max_num_batched_tokens=shape.max_num_batched_tokens,
            enable_prefix_caching=False,
            seed=number,
        )

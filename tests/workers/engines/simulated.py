"""A simulator under watch: after every test its blocks and events must add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from dynamo_cli.protocol.kv import Cleared, KvEvent, Removed, Stored
from dynamo_cli.workers.engines.mock.simulation.blocks import BlockPool
from dynamo_cli.workers.engines.mock.simulation.sequence import Sequence
from dynamo_cli.workers.engines.mock.simulation.simulator import Simulator
from dynamo_cli.workers.engines.mock.simulation.step import Step
from dynamo_cli.workers.engines.mock.simulation.timing import StepClock

_watched: list[Rig] = []


class Rig:
    """A simulator, the sequences it was given, and what its events say it holds."""

    def __init__(
        self, blocks: int = 100, block_size: int = 4, host_blocks: int = 0, speedup: float = 1.0, **options: Any
    ) -> None:
        self.pool = BlockPool(blocks, block_size, host_blocks)
        self.simulator = Simulator(clock=StepClock(speedup), pool=self.pool, **options)
        self.sequences: list[Sequence] = []
        self.told: dict[str, set[int]] = {"device": set(), "host": set()}
        _watched.append(self)

    def add(self, prompt: list[int] | int, max_tokens: int) -> Sequence:
        """A number stands for a prompt of that many tokens that shares nothing with another one."""
        if isinstance(prompt, int):
            prompt = [1_000_000 + 1000 * len(self.sequences) + place for place in range(prompt)]
        sequence = Sequence.of_tokens(prompt, max_tokens, self.pool.block_size)
        self.simulator.add(sequence)
        self.sequences.append(sequence)
        return sequence

    def step(self, now: float = 0.0) -> Step | None:
        """One pass, after which each sequence's token (a counter) is known."""
        step = self.simulator.step(now)
        if step is not None:
            for sequence in [*self.simulator.decoding, *step.finished]:
                assert sequence.tail is not None
                sequence.tail.append(self.simulator.generated(sequence))
        return step

    def one(self, now: float = 0.0) -> Step:
        step = self.step(now)
        assert step is not None
        return step

    def run(self, now: float = 0.0) -> list[Step]:
        steps = []
        while (step := self.step(now)) is not None:
            steps.append(step)
            now = step.ends_at
            self.check()
        return steps

    def events(self) -> list[KvEvent]:
        """Drained, and applied to what is told."""
        events = self.simulator.drain_events()
        kinds = Counter((type(event), getattr(event, "tier", "")) for event in events)
        assert all(count == 1 for count in kinds.values())
        for event in events:
            if isinstance(event, Cleared):
                self.told = {"device": set(), "host": set()}
            else:
                known, names = self.told[event.tier], set(event.hashes)
                assert len(names) == len(event.hashes)
                if isinstance(event, Stored):
                    assert not names & known
                    known |= names
                else:
                    assert isinstance(event, Removed) and names <= known
                    known -= names
        return events

    def check(self) -> None:
        """Blocks are conserved, counted right, found prefix by prefix, and told."""
        simulator, pool = self.simulator, self.pool
        running = [*simulator.prefilling, *simulator.decoding]
        assert min(pool.free, pool.active, pool.inactive) >= 0
        assert pool.free + pool.active + pool.inactive == pool.total
        used = Counter(name for sequence in running for name in sequence.names[: sequence.named])
        assert {name: pool.users(name) for name in used} == used
        assert pool.inactive == len(pool.names - set(used))
        assert pool.active == len(used) + sum(sequence.held - sequence.named for sequence in running)
        for sequence in running:
            generated = simulator.generated(sequence)
            decoding = sequence.phase == "decoding"
            computed = sequence.prompt_tokens + generated - 1 if decoding else sequence.computed
            assert sequence.held == pool.blocks_for(computed)
        assert all(sequence.held == 0 for sequence in self.sequences if sequence not in running)
        load = simulator.load()
        missing = sum(sequence.known for sequence in simulator.waiting)
        missing += sum(sequence.known - sequence.computed for sequence in simulator.prefilling)
        assert load == (pool.active, pool.total, missing, len(running), len(simulator.waiting))
        self.events()
        assert self.told["device"] == pool.names
        assert all(name in pool.host for name in self.told["host"])
        assert len(self.told["host"]) == len(pool.host) <= pool.host.total
        for sequence in self.sequences:
            present = [name in pool.names for name in sequence.names]
            assert present == sorted(present, reverse=True), "a block is cached and its parent is not"


@pytest.fixture(autouse=True)
def blocks_add_up() -> Iterator[None]:
    """Import this name into a test file: whatever a test there did, the blocks of its rigs add up."""
    _watched.clear()
    yield
    for rig in _watched:
        rig.check()
    _watched.clear()

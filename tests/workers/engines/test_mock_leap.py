"""Many passes at once end exactly as one by one: same times, same cache, whatever comes in between."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_cli.protocol.kv import KvEvent
from dynamo_cli.workers.engines.mock.simulation.sequence import Sequence
from dynamo_cli.workers.engines.mock.simulation.simulator import Load
from dynamo_cli.workers.engines.mock.simulation.step import Step, TokenGaps
from dynamo_cli.workers.engines.mock.simulation.timing import decode_ms
from tests.workers.engines.simulated import Rig, blocks_add_up

__all__ = ["blocks_add_up"]


class Request(NamedTuple):
    """Something that comes in: a sequence for a worker, or, with no tokens to generate, the end of an earlier one."""

    at: float
    worker: int
    names: list[int]
    rest: int
    max_tokens: int


@dataclass
class Story:
    """All that a replay can see."""

    times: dict[int, tuple[float | None, float | None, int, int]] = field(default_factory=dict)
    loads: list[tuple[Load, ...]] = field(default_factory=list)
    events: list[tuple[float, int, list[KvEvent]]] = field(default_factory=list)
    preemptions: list[int] = field(default_factory=list)
    prefill_tokens: int = 0
    gaps: TokenGaps = field(default_factory=TokenGaps)
    steps: int = 0


def replay(requests: list[Request], workers: int, leaping: bool, **options: Any) -> Story:
    """The loop of the simulator's module, which ends some sequences early besides."""
    rigs = [Rig(seed=worker, **options) for worker in range(workers)]
    simulators = [rig.simulator for rig in rigs]
    arrivals = deque(sorted(requests))
    story, sequences = Story(), dict[int, tuple[int, Sequence]]()
    passes: list[tuple[float, int]] = []
    running: dict[int, Step] = {}

    def advance(worker: int, now: float) -> Step | None:
        return simulators[worker].leap(now) if leaping else simulators[worker].step(now)

    while arrivals or passes:
        if arrivals and (not passes or arrivals[0].at <= passes[0][0]):
            request = arrivals.popleft()
            now, worker = request.at, request.worker % workers
            if not request.max_tokens and sequences:
                worker, ending = sequences[request.rest % len(sequences)]
                step = simulators[worker].cut(now)
                simulators[worker].end(ending)
            else:
                step = simulators[worker].cut(now)
                added = Sequence(
                    len(request.names) * rigs[worker].pool.block_size + request.rest,
                    max(1, request.max_tokens),
                    request.names,
                )
                sequences[len(sequences)] = worker, added
                simulators[worker].add(added)
                rigs[worker].sequences.append(added)
            step = step or advance(worker, now)
            story.loads.append(tuple(simulator.load() for simulator in simulators))
        else:
            now, worker = heappop(passes)
            if worker not in running or running[worker].ends_at != now:
                continue
            step = running.pop(worker)
            story.gaps.add(step)
            story.prefill_tokens += step.prefill_tokens
            story.steps += 1
            events = rigs[worker].events()
            if events:
                story.events.append((now, worker, events))
            step = advance(worker, now)
        if step and running.get(worker) is not step:
            running[worker] = step
            heappush(passes, (step.ends_at, worker))
    for number, (_, sequence) in sequences.items():
        assert sequence.phase == "done"
        times = sequence.first_token_at, sequence.finished_at
        story.times[number] = *times, sequence.generated, sequence.cached_tokens
    story.preemptions = [simulator.preemptions for simulator in simulators]
    return story


REQUESTS = st.lists(
    st.builds(
        Request,
        at=st.one_of(st.floats(0, 3), st.sampled_from([0.0, 0.5, 1.0])),
        worker=st.integers(0, 1),
        names=st.integers(0, 6).flatmap(
            lambda count: st.sampled_from([list(range(count)), list(range(100, 100 + count))])
        ),
        rest=st.integers(1, 3),
        max_tokens=st.integers(0, 60),
    ),
    max_size=25,
)


@settings(max_examples=200)
@given(
    REQUESTS,
    st.integers(1, 2),
    st.integers(22, 45),
    st.integers(0, 12),
    st.integers(1, 6),
    st.sampled_from([1.0, 3.7]),
    st.booleans(),
)
def test_leaps_end_exactly_where_single_steps_do(
    requests: list[Request], workers: int, blocks: int, host: int, seqs: int, speedup: float, caching: bool
) -> None:
    options: dict[str, Any] = {
        "blocks": blocks,
        "host_blocks": host,
        "max_num_seqs": seqs,
        "max_num_batched_tokens": 16,
        "speedup": speedup,
        "enable_prefix_caching": caching,
    }
    leaps, steps = replay(requests, workers, True, **options), replay(requests, workers, False, **options)
    assert leaps.steps <= steps.steps
    leaps.steps = steps.steps = 0
    assert leaps.gaps.weights == steps.gaps.weights
    leaps.gaps = steps.gaps
    assert leaps == steps


def test_a_leap_ends_where_something_will_happen() -> None:
    rig = Rig(blocks=100, block_size=100)
    sequence = Sequence(50, 500)
    rig.simulator.add(sequence)
    rig.sequences.append(sequence)
    passes, now = [], 0.0
    while (step := rig.simulator.leap(now)) is not None:
        now = step.ends_at
        passes.append(step.passes)
    # The prompt; to the 100th token and the one that fills the block; the next that takes another; and so on.
    assert passes == [1, 49, 1, 1, 98, 1, 1, 98, 1, 1, 98, 1, 1, 98, 1, 1, 47, 1]
    assert sum(passes) == sequence.generated == 500
    assert sequence.finished_at == now


def test_a_leap_is_cut_to_the_passes_that_have_begun() -> None:
    rig = Rig(block_size=1000)
    first, late = Sequence(10, 500), Sequence(10, 5)
    rig.simulator.add(first)
    began = rig.simulator.leap(0.0)
    assert began is not None and rig.simulator.cut(0.001) is began
    leap = rig.simulator.leap(began.ends_at)
    assert leap is not None and leap.passes == 498
    assert leap.seconds == pytest.approx(decode_ms(1 / 100) / 1000, abs=1e-9)
    now = began.ends_at + 10.5 * leap.seconds
    cut = rig.simulator.cut(now)
    assert cut is not None and (cut.passes, cut.ends_at) == (11, began.ends_at + 11 * leap.seconds)
    assert rig.simulator.cut(now) is cut
    assert rig.simulator.generated(first) == 12
    rig.simulator.add(late)
    mixed = rig.simulator.leap(cut.ends_at)
    assert mixed is not None and (mixed.passes, mixed.prefill_tokens, mixed.decoding) == (1, 10, 1)
    rig.simulator.end(first)
    rig.simulator.end(late)
    assert rig.simulator.leap(mixed.ends_at) is None
    assert rig.simulator.cut(mixed.ends_at) is None


def test_what_begins_at_the_moment_of_the_cut_is_taken_back() -> None:
    rig = Rig(block_size=1000)
    rig.simulator.add(Sequence(10, 500))
    began = rig.simulator.leap(0.0)
    assert began is not None
    leap = rig.simulator.leap(began.ends_at)
    assert leap is not None
    cut = rig.simulator.cut(began.ends_at + 3 * leap.seconds)
    assert cut is not None and cut.passes == 3
    again = rig.simulator.cut(began.ends_at)
    assert again is not None and again.passes == 1


def test_without_delay_time_stands_still() -> None:
    rig = Rig(block_size=1000, speedup=0.0)
    sequence = Sequence(10, 500)
    rig.simulator.add(sequence)
    while (step := rig.simulator.leap(7.0)) is not None:
        assert step.ends_at == 7.0
    assert sequence.finished_at == 7.0


def test_gaps_are_counted_by_how_many_had_them() -> None:
    gaps = TokenGaps()
    assert (gaps.count, gaps.mean(), gaps.quantile(0.99)) == (0, 0.0, 0.0)
    gaps.add(Step(1.0, 0.01, decoding=3, passes=33))
    gaps.add(Step(2.0, 0.5, decoding=0, prefill_tokens=5))
    gaps.add(Step(3.0, 1.0, decoding=0, resumed=[(Sequence(1, 1), 2.0)]))
    assert gaps.count == 100
    assert gaps.mean() == pytest.approx((99 * 0.01 + 2.0) / 100)
    assert (gaps.quantile(0.99), gaps.quantile(0.991), gaps.quantile(0.0)) == (0.01, 2.0, 0.01)
